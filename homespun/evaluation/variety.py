"""How varied a text is: does it repeat itself, and does it say what the others say?

- ``distinct``: share of the runs of n words of a text that are different (Li et al. 2016);
- ``repeated``: share of its runs of four words that are repetitions of an earlier one (Welleck et al. 2020);
- ``shared``: share of its runs of four words that are in another of the texts as well.

All depend on how long texts are, so compare texts of like length.
"""

from collections import Counter
from collections.abc import Sequence

from homespun.evaluation.words import grams, words_of

RUN = 4


def distinct(text: str, size: int) -> float:
    """Different runs over all runs; 1 for a text too short to have any."""
    runs = list(grams(words_of(text), size))
    return len(set(runs)) / len(runs) if runs else 1.0


def repeated(text: str) -> float:
    """0: no run of four words comes twice."""
    return 1.0 - distinct(text, RUN)


def shared(texts: Sequence[str]) -> list[float]:
    """For each text how many of its different runs of four words are in another one."""
    runs = [set(grams(words_of(text), RUN)) for text in texts]
    holders = Counter(run for own in runs for run in own)
    return [sum(holders[run] > 1 for run in own) / len(own) if own else 0.0 for own in runs]
