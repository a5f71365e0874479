"""ROUGE: how much of a reference's words a summary has (Lin 2004): single words, pairs, the longest common sequence.

Each is the harmonic mean of precision and recall; of several references the best counts. Words are in lower case and
not stemmed. On text in English letters the figures are those of Google's ``rouge-score``, which the tests compare; that
program drops every other letter, this one does not.

In: a text and its references. Out: ROUGE-1, ROUGE-2 and ROUGE-L, from 0 to 1.
"""

from collections import Counter
from collections.abc import Sequence

from homespun.evaluation.words import grams, words_of

NAMES = ("ROUGE-1", "ROUGE-2", "ROUGE-L")


def rouge(text: str, references: Sequence[str]) -> tuple[float, float, float]:
    """All three, each with its best reference."""
    own, others = words_of(text), [words_of(reference) for reference in references]
    return (
        max(shared_runs(own, other, 1) for other in others),
        max(shared_runs(own, other, 2) for other in others),
        max(f_measure(longest_common(own, other), len(own), len(other)) for other in others),
    )


def shared_runs(own: Sequence[str], other: Sequence[str], size: int) -> float:
    """ROUGE-N of two texts."""
    mine, theirs = Counter(grams(own, size)), Counter(grams(other, size))
    return f_measure((mine & theirs).total(), mine.total(), theirs.total())


def f_measure(shared: int, own: int, other: int) -> float:
    """The harmonic mean of shared / own and shared / other."""
    return 2 * shared / (own + other) if shared else 0.0


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest sequence of words that both have in this order, perhaps with others between."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, 1):
            diagonal, row[place] = row[place], diagonal + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]
