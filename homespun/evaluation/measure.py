"""What is measured, in one form for all kinds: rows of numbers that are added up, and a formula on their sums.

Accuracy is the sum of rights over the number of examples; BLEU, F1 or a calibration error are formulas on sums as well.
So every measure has the same way to its interval (examples are drawn anew, sums are made of them, the formula is asked
again) and to a test against another model (the same examples drawn for both). A resample is one matrix product.

Shapes: N examples, K numbers of each, … any leading dimensions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from homespun.evaluation.intervals import Interval, bootstrap, wilson

Statistic = Callable[[np.ndarray], np.ndarray]  # sums (…, K) -> values (…)
HIGHER, LOWER, NEITHER = "higher is better", "lower is better", ""
SHARE = "share"  # values from 0 to 1, told in percent


@dataclass(frozen=True)
class Measure:
    """``rows`` (N, K) and what is made of their sums. ``rights``: rows are (0 or 1, 1), a share of right answers."""

    name: str
    rows: np.ndarray
    statistic: Statistic
    unit: str = ""
    better: str = HIGHER
    rights: bool = False

    @property
    def value(self) -> float:
        """The measure on all examples."""
        return float(self.statistic(self.rows.sum(0)))


@dataclass(frozen=True)
class Figure:
    """A measure as people are told it: its value and its 95 % interval, None where there are too few examples."""

    name: str
    value: float
    low: float | None
    high: float | None
    examples: int
    unit: str
    better: str
    interval: str


def figure_of(measure: Measure, seed: int) -> Figure:
    """The figure: Wilson's interval for a share of right answers, else the bootstrap's."""
    count = len(measure.rows)
    interval: Interval | None
    if measure.rights:
        interval, method = wilson(int(measure.rows[:, 0].sum()), count), "Wilson"
    else:
        interval, method = bootstrap(measure.rows, measure.statistic, seed), "bootstrap"
    low, high = interval or (None, None)
    return Figure(measure.name, measure.value, low, high, count, measure.unit, measure.better, method)


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotients; 0 where the divisor is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, dtype=float), np.asarray(below, dtype=float))
    return np.divide(above, below, out=np.zeros(above.shape), where=below != 0)


def quotient(sums: np.ndarray) -> np.ndarray:
    """The first number over the second: a mean where the second counts."""
    return divide(sums[..., 0], sums[..., 1])


def share_of(name: str, rights: Sequence[bool] | np.ndarray, better: str = HIGHER) -> Measure:
    """How many of the answers are right."""
    hits = np.asarray(rights, dtype=float)
    return Measure(name, np.stack([hits, np.ones_like(hits)], axis=-1), quotient, SHARE, better, rights=True)


def mean_of(
    name: str, values: Sequence[float] | np.ndarray, unit: str = "", better: str = HIGHER, weights: object = None
) -> Measure:
    """The mean of the examples' values, or of what they hold together over the sum of ``weights``."""
    above = np.asarray(values, dtype=float)
    below = np.ones_like(above) if weights is None else np.asarray(weights, dtype=float)
    return Measure(name, np.stack([above, below], axis=-1), quotient, unit, better)
