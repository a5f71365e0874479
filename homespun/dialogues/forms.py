"""The forms in which conversations are passed around: a JSON object -> a ``Conversation`` or a ``Preference``.

- ``messages``: a list of ``role`` and ``content``, as OpenAI has it;
- ``conversations``: a list of ``from`` and ``value``, as ShareGPT has it;
- ``instruction``, ``input`` (may be empty) and ``output``, as Alpaca has it (Taori et al. 2023);
- ``prompt`` and ``completion``.

Preferences have ``chosen`` and ``rejected`` beside an instruction or a prompt; both may be texts or lists of messages.
Which form an object has, its keys say.
"""

from collections.abc import Callable, Mapping
from typing import Any

from homespun.dialogues.dialogue import (
    ASSISTANT,
    SYSTEM,
    USER,
    Conversation,
    Message,
    NotUsable,
    Preference,
    conversation,
    preference,
)

ROLES = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "human": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bard": ASSISTANT,
    "bing": ASSISTANT,
    "model": ASSISTANT,
}

Entry = Mapping[str, Any]


def text_at(entry: Entry, key: str) -> str:
    """A text; nothing is an empty one."""
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotUsable(f"has {value!r:.60} for {key}, which is no text")
    return value


def content_of(value: Any) -> str:
    """What a message says: a text, or a list of parts that are all texts."""
    if isinstance(value, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in value):
        return "".join(text_at(part, "text") for part in value)
    if not isinstance(value, str):
        raise NotUsable(f"has {value!r:.60} for a message, which is no text")
    return value


def listed(value: Any, role_key: str, content_key: str) -> list[Message]:
    """A list of messages."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise NotUsable(f"has {value!r:.60} where a list of messages belongs")
    found = []
    for number, one in enumerate(value, 1):
        role = one.get(role_key)
        if not isinstance(role, str) or role.strip().lower() not in ROLES:
            raise NotUsable(f"has {role!r:.40} for the role of message {number}; known are {', '.join(ROLES)}")
        found.append(Message(ROLES[role.strip().lower()], content_of(one.get(content_key))))
    return found


def openai(entry: Entry) -> list[Message]:
    """``{"messages": [{"role": …, "content": …}]}``."""
    return listed(entry["messages"], "role", "content")


def sharegpt(entry: Entry) -> list[Message]:
    """``{"conversations": [{"from": …, "value": …}]}``; some files have OpenAI's keys in it."""
    value = entry["conversations"]
    first = value[0] if isinstance(value, list) and value else None
    as_openai = isinstance(first, dict) and "role" in first
    said = listed(value, *(("role", "content") if as_openai else ("from", "value")))
    return [*system(entry), *said]


def system(entry: Entry) -> list[Message]:
    """What some files say beside a conversation of how it is to be held."""
    said = text_at(entry, "system")
    return [Message(SYSTEM, said)] if said.strip() else []


def asked(entry: Entry) -> list[Message]:
    """Alpaca's question: the instruction, and below it what it is about."""
    parts = (text_at(entry, "instruction").strip(), text_at(entry, "input").strip())
    return [*system(entry), Message(USER, "\n\n".join(filter(None, parts)))]


def alpaca(entry: Entry) -> list[Message]:
    """``{"instruction": …, "input": …, "output": …}``."""
    return [*asked(entry), Message(ASSISTANT, text_at(entry, "output"))]


def completion(entry: Entry) -> list[Message]:
    """``{"prompt": …, "completion": …}``."""
    return [*prompted(entry), Message(ASSISTANT, text_at(entry, "completion"))]


def prompted(entry: Entry) -> list[Message]:
    """``prompt``: a text, or messages."""
    value = entry["prompt"]
    return listed(value, "role", "content") if isinstance(value, list) else [Message(USER, text_at(entry, "prompt"))]


CONVERSATIONS: dict[tuple[str, ...], Callable[[Entry], list[Message]]] = {
    ("messages",): openai,
    ("conversations",): sharegpt,
    ("instruction", "output"): alpaca,
    ("prompt", "completion"): completion,
}
PROMPTS: dict[str, Callable[[Entry], list[Message]]] = {"prompt": prompted, "messages": openai, "instruction": asked}


def as_conversation(entry: Any) -> Conversation:
    """Of any known form."""
    for keys, make in CONVERSATIONS.items():
        if isinstance(entry, dict) and entry.keys() >= set(keys):
            return conversation(make(entry))
    raise NotUsable(f"is no conversation ({keys_of(entry)}); known are {in_words(CONVERSATIONS)}")


def as_preference(entry: Any) -> Preference:
    """Of any known form."""
    if not isinstance(entry, dict) or not entry.keys() >= {"chosen", "rejected"}:
        raise NotUsable(f"has no answers chosen and rejected ({keys_of(entry)})")
    (chosen, before), (rejected, also) = (last_said(entry, key) for key in ("chosen", "rejected"))
    for key, make in PROMPTS.items():
        if key in entry:
            return preference(make(entry), chosen, rejected)
    if before and before == also:
        return preference(before, chosen, rejected)
    raise NotUsable(f"has no question ({keys_of(entry)}); known are {', '.join(PROMPTS)}")


def last_said(entry: Entry, key: str) -> tuple[str, list[Message]]:
    """An answer, and the messages before it where the file repeats them."""
    if not isinstance(entry[key], list):
        return text_at(entry, key), []
    said = listed(entry[key], "role", "content")
    if not said or said[-1].role != ASSISTANT:
        raise NotUsable(f"has messages for {key} that do not end with an answer")
    return said[-1].content, said[:-1]


def keys_of(entry: Any) -> str:
    """What there is instead."""
    return f"it has {', '.join(map(repr, entry)) or 'no keys'}" if isinstance(entry, dict) else "it is no JSON object"


def in_words(forms: Mapping[tuple[str, ...], object]) -> str:
    """The keys of the forms."""
    return "; ".join(" and ".join(keys) for keys in forms)
