"""Messages -> token ids, by the chat template that stands in the tokenizer's file.

In: a role and what it says. Out: ids with the control tokens around them:

    <|im_start|>user
    What is 2 + 2?<|im_end|>
    <|im_start|>assistant
    4<|im_end|>

The form is ChatML (OpenAI 2023), which most programs know. The file holds it as the usual Jinja text, for them; here
the ids are put together one message at a time, and what people write is encoded as ordinary text, so no message can
hold a control token. Templates of other forms are somebody's program, and are not run.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from homespun.tokenizer.special import END_OF_TURN, START_OF_TURN
from homespun.tokenizer.tokenizer import Tokenizer

SYSTEM, ASSISTANT = "system", "assistant"
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


def with_chat(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer with the template, and with the control tokens if it lacks them."""
    return tokenizer.with_special_tokens((START_OF_TURN, END_OF_TURN)).with_chat_template(CHATML)


def can_chat(tokenizer: Tokenizer) -> bool:
    """Whether messages have a form for this tokenizer: its file says so."""
    return tokenizer.chat_template == CHATML and {START_OF_TURN, END_OF_TURN} <= tokenizer.special_tokens.keys()


def opening(tokenizer: Tokenizer, role: str = ASSISTANT) -> list[int]:
    """What comes before a message: with it the model is asked to speak."""
    return [tokenizer.special_tokens[START_OF_TURN], *tokenizer.encode(f"{role}\n")]


def turns(tokenizer: Tokenizer, messages: Sequence[tuple[str, str]]) -> list[Turn]:
    """Messages, each a role and what it says, one by one. Names of control tokens in them are ordinary text."""
    end, after = tokenizer.special_tokens[END_OF_TURN], tokenizer.encode("\n")
    before = {role: opening(tokenizer, role) for role in {role for role, _ in messages}}
    said = tokenizer.encode_lists([content for _, content in messages])
    return [Turn(role, before[role], [*ids, end], after) for (role, _), ids in zip(messages, said, strict=True)]


def prompt(tokenizer: Tokenizer, said: Iterable[Turn]) -> list[int]:
    """All that was said, and the beginning of the answer."""
    ids = [token for one in said for part in (one.before, one.said, one.after) for token in part]
    return [*ids, *opening(tokenizer)]


def newest(said: Sequence[Turn], room: int) -> list[Turn]:
    """The newest messages that fit into ``room`` tokens: the oldest question goes first, with what was answered.

    What the system says, at the beginning, stays; so does the last question, fitting or not.
    """
    head = [one for one in said[:1] if one.role == SYSTEM]
    rest = list(said[len(head) :])
    while len(rest) > 2 and sum(map(tokens_of, [*head, *rest])) > room:
        rest = rest[2:]
    return [*head, *rest]


def shortened(one: Turn, room: int) -> Turn:
    """The message, or one that ends earlier, so that it takes ``room`` tokens; something of it is always left."""
    excess = tokens_of(one) - room
    return one if excess <= 0 else one._replace(said=[*one.said[: max(1, len(one.said) - 1 - excess)], one.said[-1]])


def tokens_of(one: Turn) -> int:
    """How many it takes."""
    return len(one.before) + len(one.said) + len(one.after)
