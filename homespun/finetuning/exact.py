"""How often a model answers to the letter: where an answer is short, there is often one that is right.

In: conversations and a way to answer. Out: the share of answers that are the expected ones but for case, white space
and the full stop at the end, with its interval, and the first few of them to look at. Other wordings may be as right;
the share is a lower bound, and it is told of how many.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import islice
from typing import Any

from homespun.dialogues.dialogue import Conversation, Messages
from homespun.evaluation.measure import figure_of, share_of

LONGEST_WORDS = 10  # of an answer that counts as short
ASKED, SHOWN = 200, 20
SEED = 0


def is_short(conversation: Conversation) -> bool:
    """Whether its last answer is one of a few words."""
    return len(conversation.messages[-1].content.split()) <= LONGEST_WORDS


def normalized(text: str) -> str:
    """What does not matter, taken away."""
    return " ".join(text.casefold().split()).rstrip(".!")


def exact_answers(conversations: Iterable[Conversation], say: Callable[[Messages], str]) -> dict[str, Any]:
    """For JSON; empty where no answer is short."""
    asked = list(islice(filter(is_short, conversations), ASKED))
    if not asked:
        return {}
    told = [say(one.messages[:-1]) for one in asked]
    right = [normalized(text) == normalized(one.messages[-1].content) for text, one in zip(told, asked, strict=True)]
    shown = [
        {"question": one.messages[-2].content, "expected": one.messages[-1].content, "told": text}
        for one, text in zip(asked[:SHOWN], told, strict=False)
    ]
    return {"exact_match": asdict(figure_of(share_of("exact match", right), SEED)), "shown": shown}
