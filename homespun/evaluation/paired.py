"""Is one model better than another, on the same examples? Paired tests.

Where two models answer the same questions, what counts are the questions on which they differ. The difference of two
accuracies can be sure although their intervals overlap, for most of the doubt is which questions were asked, and that
is the same for both.

- ``mcnemar``: right and wrong answers. Of the questions that only one of the two got right, how many went to the first?
  Exact, by the binomial distribution (McNemar 1947).
- ``paired_bootstrap``: anything else. The same examples are drawn for both, and how often the difference changes its
  sign tells how easily it could be chance (Koehn 2004).
"""

from dataclasses import dataclass
from math import comb

import numpy as np

from homespun.evaluation.intervals import LEVEL, resampled_sums
from homespun.evaluation.measure import Measure


@dataclass(frozen=True)
class Difference:
    """``difference``: value minus ``other``'s, with its interval. ``p``: chance of one as large if both were alike."""

    name: str
    value: float
    other: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    test: str


def compare(first: Measure, second: Measure, seed: int) -> Difference:
    """The first measure against the second, of the same examples in the same order."""
    differences = paired_differences(first, second, seed)
    low, high = (None, None) if differences is None else interval_of(differences)
    if first.rights:
        wins = (first.rows[:, 0] > second.rows[:, 0]).sum()
        losses = (first.rows[:, 0] < second.rows[:, 0]).sum()
        p, test = mcnemar(int(wins), int(losses)), "McNemar, exact"
    else:
        p, test = None if differences is None else sign_changes(differences), "paired bootstrap"
    return Difference(first.name, first.value, second.value, first.value - second.value, low, high, p, test)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided: how likely a split at least as uneven is where each of the differing answers is a fair coin."""
    count, fewer = wins + losses, min(wins, losses)
    tail = sum(comb(count, number) for number in range(fewer + 1))
    return min(1.0, 2 * tail / 2**count)


def paired_differences(first: Measure, second: Measure, seed: int) -> np.ndarray | None:
    """The difference in each resample (R,); None for fewer than two examples."""
    if len(first.rows) != len(second.rows):
        raise ValueError(f"{first.name}: {len(first.rows)} examples against {len(second.rows)}")
    if len(first.rows) < 2:
        return None
    sums = [measure.statistic(resampled_sums(measure.rows, seed)) for measure in (first, second)]
    return sums[0] - sums[1]


def interval_of(differences: np.ndarray) -> tuple[float, float]:
    """The middle 95 %."""
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def sign_changes(differences: np.ndarray) -> float:
    """Two-sided p: twice the share of resamples on the rarer side of 0, which is never quite 0 (Davison & Hinkley)."""
    rarer = min((differences <= 0).sum(), (differences >= 0).sum())
    return min(1.0, 2 * (int(rarer) + 1) / (len(differences) + 1))
