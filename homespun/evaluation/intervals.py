"""How sure a figure is: 95 % intervals.

- ``wilson``: of a share, from counts alone; sensible for few examples and for shares near 0 and 1, where the usual
  formula of the normal distribution gives intervals of no width (Wilson 1927; Brown, Cai & DasGupta 2001).
- ``bootstrap``: of any formula on sums over examples (Efron 1979): examples are drawn with replacement, as many as
  there are, a thousand times; the middle 95 % of what the formula gives.

Both know of one kind of doubt only: which examples were asked. A model trained with another seed is not in it.
"""

import math
from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
NUMBERS_AT_ONCE = 1 << 24

Interval = tuple[float, float]


def wilson(rights: int, count: int) -> Interval | None:
    """The score interval of ``rights`` out of ``count``; None where nothing was asked."""
    if count == 0:
        return None
    share = rights / count
    shrunk = 1 + Z**2 / count
    centre = (share + Z**2 / (2 * count)) / shrunk
    half = Z / shrunk * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    # At none and at all the formula gives 0 and 1; rounding must not give less.
    return (0.0 if rights == 0 else centre - half), (1.0 if rights == count else centre + half)


def bootstrap(rows: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> Interval | None:
    """Percentile interval of ``statistic`` on the sums of ``rows`` (N, K); None for fewer than two examples."""
    if len(rows) < 2:
        return None
    low, high = np.quantile(statistic(resampled_sums(rows, seed)), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled_sums(rows: np.ndarray, seed: int) -> np.ndarray:
    """Sums (R, K) of R resamples of ``rows`` (N, K); the same seed and N draw the same examples."""
    chance, count = np.random.default_rng(seed), len(rows)
    at_once = max(1, min(RESAMPLES, NUMBERS_AT_ONCE // count))
    sums = []
    for begin in range(0, RESAMPLES, at_once):
        number = min(at_once, RESAMPLES - begin)
        drawn = chance.integers(count, size=(number, count)) + count * np.arange(number)[:, None]
        times = np.bincount(drawn.ravel(), minlength=number * count).reshape(number, count)  # (number, N)
        sums.append(times @ rows)
    return np.concatenate(sums)
