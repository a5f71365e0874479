"""Messages -> token ids, by the chat template that stands in the tokenizer's file.

In: a role and what it says. Out: ids with the control tokens around them:

    <|im_start|>user
    What is 2 + 2?<|im_end|>
    <|im_start|>assistant
    4<|im_end|>

The form is ChatML (OpenAI 2023), which most programs know. The file holds it as the usual Jinja text, for them; here the
ids are put together one message at a time, and what people write is encoded as ordinary text, so no message can hold a
control token. Templates of other forms are somebody's program, and are not run.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from homespun.tokenizer.special import END_OF_TURN, START_OF_TURN
from homespun.tokenizer.tokenizer import Tokenizer

ASSISTANT = "assistant"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Turn(NamedTuple):
    """One message: ids ``before`` it, what is ``said`` with the token that ends it, and ids ``after``."""

    role: str
    before: list[int]
    said: list[int]
    after: list[int]

    def __len__(self) -> int:
        """Its tokens."""
        return len(self.before) + len(self.said) + len(self.after)


def with_chat(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer with the template, and with the control tokens if it lacks them."""
    return tokenizer.with_special_tokens((START_OF_TURN, END_OF_TURN)).with_chat_template(CHATML)


def can_chat(tokenizer: Tokenizer) -> bool:
    """Whether messages have a form for this tokenizer: its file says so."""
    return tokenizer.chat_template == CHATML and {START_OF_TURN, END_OF_TURN} <= tokenizer.special_tokens.keys()


def opening(tokenizer: Tokenizer, role: str = ASSISTANT) -> list[int]:
    """What comes before a message: with it the model is asked to speak."""
    return [tokenizer.special_tokens[START_OF_TURN], *tokenizer.encode(f"{role}\n")]


def turn(tokenizer: Tokenizer, role: str, content: str) -> Turn:
    """One message. Names of control tokens in ``content`` are ordinary text."""
    said = [*tokenizer.encode(content), tokenizer.special_tokens[END_OF_TURN]]
    return Turn(role, opening(tokenizer, role), said, tokenizer.encode("\n"))


def prompt(turns: Sequence[Turn], tokenizer: Tokenizer) -> list[int]:
    """All that was said, and the beginning of the answer."""
    return [*ids_of(turns), *opening(tokenizer)]


def ids_of(turns: Iterable[Turn]) -> list[int]:
    """The ids of messages, one behind the other."""
    return [token for one in turns for part in (one.before, one.said, one.after) for token in part]


def newest(turns: Sequence[Turn], room: int) -> list[Turn]:
    """The newest messages that fit into ``room`` tokens: the oldest question goes first, with what was answered.

    What the system says, at the beginning, stays; so does the last question, fitting or not.
    """
    head = [one for one in turns[:1] if one.role == "system"]
    rest = list(turns[len(head) :])
    while len(rest) > 2 and sum(map(len, [*head, *rest])) > room:
        rest = rest[2:]
    return [*head, *rest]
