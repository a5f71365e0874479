"""How often each word occurs -> which occurrences are left out, and how random words are drawn.

In: counts. Out: tables for random numbers below 2^31.

- Frequent words are thinned out (Mikolov et al. 2013, section 2.3): "the" says little about its neighbours, and without
  it they come nearer. Kept is a share of (sqrt(f / t) + 1) t / f of a word that makes up a share f of the text: the
  formula of the published program, which the paper gives in a slightly different form.
- Random words are drawn by their counts to the power of 0.75 (section 2.2), through an alias table (Walker 1977, Vose
  1991): two random numbers and one place of memory for a draw, however many words there are.
"""

import numpy as np

from homespun.training.word_vectors.randomness import DRAW_BITS, Draws
from homespun.training.word_vectors.vocabulary import Array

POWER = 0.75
ALL_DRAWS = 1 << DRAW_BITS


def keep_thresholds(counts: Array, threshold: float) -> Array:
    """An occurrence of word i stays when a draw is below the result's i-th number (uint32); threshold 0: always."""
    if threshold == 0:
        return np.full(len(counts), ALL_DRAWS, np.uint32)
    shares = counts / counts.sum()
    kept = (np.sqrt(shares / threshold) + 1) * threshold / shares
    return np.ceil(np.minimum(kept, 1) * ALL_DRAWS).astype(np.uint32)


def draw_table(counts: Array, power: float = POWER) -> Array:
    """The alias table (V, 2), uint32, for draws by ``counts`` to the power of ``power``.

    Of column i a share of the first number by 2^31 belongs to word i, the rest to the word that the second one names.
    """
    weights = counts.astype(np.float64) ** power
    shares = weights / weights.sum() * len(counts)  # the mean is 1: what a column holds
    table = np.empty((len(counts), 2), np.uint32)
    table[:, 0], table[:, 1] = ALL_DRAWS, np.arange(len(counts))
    left = shares.tolist()
    poor = [word for word, share in enumerate(left) if share < 1]
    rich = [word for word, share in enumerate(left) if share >= 1]
    while poor and rich:
        word, giver = poor.pop(), rich[-1]
        table[word] = round(left[word] * ALL_DRAWS), giver
        left[giver] -= 1 - left[word]
        if left[giver] < 1:
            poor.append(rich.pop())
    return table  # what rounding left over keeps its whole column


def draw_word(table: Array, draws: Draws) -> int:
    """A random word."""
    column = draws.below(len(table))
    return column if draws.draw() < table[column, 0] else int(table[column, 1])
