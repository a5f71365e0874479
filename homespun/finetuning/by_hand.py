"""Features made by hand: what somebody would look at who had to tell spam from messages, before any model of language.

In: texts. Out: a table of numbers (N, F): for each class how many of its trigger words a text has, and how much it
shouts, links, counts and talks. Trigger words are learned by counting the training texts alone: those that are far
commoner in the texts of a class than in all others.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from homespun.finetuning.words import words_of

TRIGGERS_OF_CLASS = 20
LEAST_TEXTS = 3  # a word of fewer texts is a chance
LINK = re.compile(r"https?://|www\.|\b\w+\.(?:com|net|org|co\.uk)\b", re.IGNORECASE)


class HandMade:
    """``triggers``: for each class its words, the most telling first."""

    def __init__(self, texts: Sequence[str], classes: np.ndarray, count: int) -> None:
        """Learn from training texts and their classes, 0 … ``count`` - 1."""
        self.triggers = trigger_words(texts, classes, count)
        self.sets = [frozenset(words) for words in self.triggers]

    def __call__(self, texts: Iterable[str]) -> np.ndarray:
        """Features (N, F)."""
        return np.array([self.features(text) for text in texts], np.float64)

    def features(self, text: str) -> list[float]:
        """Those of one text; logarithms, since ten exclamation marks are not ten times as much as one."""
        found = words_of(text)
        letters = [one for one in text if one.isalpha()]
        counts = [
            *(sum(word in triggers for word in found) for triggers in self.sets),
            text.count("!"),
            text.count("?"),
            sum(one.isdigit() for one in text),
            len(LINK.findall(text)),
            sum(word.isupper() and len(word) > 1 for word in text.split()),
            len(found),
            len(text),
        ]
        capitals = sum(one.isupper() for one in letters) / max(1, len(letters))
        return [*map(math.log1p, counts), capitals]


def trigger_words(texts: Sequence[str], classes: np.ndarray, count: int) -> list[list[str]]:
    """Of each class the words whose share of its texts most exceeds that of the others, by the ratio of both.

    Half a text is added on either side, so that a word that the others never have is not infinitely telling.
    """
    having = [Counter[str]() for _ in range(count)]
    sizes = np.bincount(classes, minlength=count)
    for text, number in zip(texts, classes.tolist(), strict=True):
        having[number].update(set(words_of(text)))
    everywhere = sum(having, Counter[str]())
    found = []
    for own, size in zip(having, sizes.tolist(), strict=True):

        def telling(word: str, own: Counter[str] = own, size: int = size) -> float:
            others = (everywhere[word] - own[word] + 0.5) / (len(texts) - size + 1)
            return (own[word] + 0.5) / (size + 1) / others

        common = [word for word, times in own.items() if times >= LEAST_TEXTS and telling(word) > 1]
        found.append(sorted(common, key=lambda word: (-telling(word), word))[:TRIGGERS_OF_CLASS])
    return found
