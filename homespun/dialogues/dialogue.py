"""A conversation, and a question with two answers of which one is preferred: one form for what all files hold.

In: messages of any file. Out: ``Conversation`` or ``Preference``, or ``NotUsable`` that says in words why not. A
conversation may begin with a message of the system, then user and assistant take turns, and the assistant has the
last word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"


class Message(NamedTuple):
    """Who says what."""

    role: str
    content: str


Messages = tuple[Message, ...]


class NotUsable(Exception):
    """Why an entry is no conversation, in words that go on from "line 7 "."""


class Useless(NotUsable):
    """There is nothing to learn from it: counted as ``kind``, never an error."""

    kind: str


class Empty(Useless):
    """Somebody says nothing."""

    kind = "empty"


class Alike(Useless):
    """Both answers are the same."""

    kind = "alike"


@dataclass(frozen=True)
class Conversation:
    """``messages`` in turns; the last is an answer."""

    messages: Messages

    @property
    def question(self) -> Messages:
        """All up to the first answer: what decides which split it belongs to."""
        return self.messages[: [one.role for one in self.messages].index(ASSISTANT)]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {"messages": [one._asdict() for one in self.messages]}

    @staticmethod
    def from_record(record: dict[str, Any]) -> "Conversation":
        """What ``record`` wrote."""
        return Conversation(messages_of(record["messages"]))


@dataclass(frozen=True)
class Preference:
    """``prompt``: messages, the last of the user; the answer ``chosen`` was preferred to ``rejected``."""

    prompt: Messages
    chosen: str
    rejected: str

    @property
    def question(self) -> Messages:
        """What decides which split it belongs to."""
        return self.prompt

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "prompt": [one._asdict() for one in self.prompt],
            "chosen": self.chosen,
            "rejected": self.rejected,
        }

    @staticmethod
    def from_record(record: dict[str, Any]) -> "Preference":
        """What ``record`` wrote."""
        return Preference(messages_of(record["prompt"]), record["chosen"], record["rejected"])


def messages_of(records: Sequence[dict[str, str]]) -> Messages:
    """From JSON."""
    return tuple(Message(one["role"], one["content"]) for one in records)


def conversation(messages: Sequence[Message]) -> Conversation:
    """Checked. Questions at the end that nobody answers are left away."""
    check_turns(messages)
    answered = [number for number, one in enumerate(messages, 1) if one.role == ASSISTANT]
    if not answered:
        raise NotUsable("is a conversation with no answer")
    kept = cleaned(messages[: answered[-1]])
    return Conversation(kept)


def preference(prompt: Sequence[Message], chosen: str, rejected: str) -> Preference:
    """Checked: the prompt ends with a question, and the answers are two."""
    check_turns(prompt)
    if not prompt or prompt[-1].role != USER:
        raise NotUsable("has a prompt that does not end with a question of the user")
    *asked, better, worse = cleaned([*prompt, Message(ASSISTANT, chosen), Message(ASSISTANT, rejected)])
    if better == worse:
        raise Alike("has the same answer as chosen and as rejected")
    return Preference(tuple(asked), better.content, worse.content)


def check_turns(messages: Sequence[Message]) -> None:
    """``NotUsable`` unless, after the system if it speaks, user and assistant take turns, beginning with the user."""
    turns = [one.role for one in messages]
    first = 1 if turns[:1] == [SYSTEM] else 0
    for place, role in enumerate(turns[first:]):
        wanted = (USER, ASSISTANT)[place % 2]
        if role != wanted:
            number = first + place + 1
            raise NotUsable(f"has its roles in an impossible order: message {number} is of {role}, not of {wanted}")


def cleaned(messages: Sequence[Message]) -> Messages:
    """Without white space around what is said, which tokens would stick to; ``Empty`` if somebody says nothing."""
    found = tuple(Message(one.role, clean(one.content)) for one in messages)
    if not all(one.content for one in found if one.role != SYSTEM):
        raise Empty("has an empty message")
    return tuple(one for one in found if one.content)


def clean(text: str) -> str:
    """Half a surrogate pair, which JSON can hold, is no text that can be stored."""
    return text.strip().encode("utf-8", "replace").decode("utf-8")
