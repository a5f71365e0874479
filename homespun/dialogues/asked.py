"""A text and what is made of it, such as its summary or its translation, as a conversation of two messages.

In: source and target, and an instruction. Out: a ``Conversation``: the user says what is wanted and the source below
it, the assistant answers with the target. Who asks a model later has to ask in the same form (``question``).
"""

from typing import Any

from homespun.corpus.pairs import clean
from homespun.dialogues.dialogue import ASSISTANT, USER, Conversation, Empty, Message, conversation
from homespun.dialogues.forms import text_at

USUAL_INSTRUCTION = "Summarize."


def question(instruction: str, source: str) -> str:
    """What the user says; without an instruction the source alone."""
    return "\n\n".join(filter(None, (instruction.strip(), source)))


def as_pair(entry: dict[str, Any], instruction: str = "") -> Conversation:
    """``entry``: source and target, by the names of their columns. Both sides in the normal form of all pairs."""
    source, target = (clean(text_at(entry, name)) for name in entry)
    if not source or not target:
        raise Empty("has an empty side")
    return conversation([Message(USER, question(instruction, source)), Message(ASSISTANT, target)])
