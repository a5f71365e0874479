"""A first guess at the learning rate: raise it step by step until the loss breaks out, and see where it fell fastest.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3: one short run whose rate grows by the
same factor at every step. The loss falls, flattens, and rises again; the rate to take lies before the flat part.
What this run cannot see is how well a rate does in the end: try its neighbours too (docs/6-training.md).
"""

import math
from dataclasses import dataclass

import numpy as np

from homespun.common.progress import Advance, ignore
from homespun.training.loop import Stepping, train_step

SMOOTHING = 0.85
BROKEN_OUT = 1.3  # times the lowest smoothed loss
SPAN = 0.1  # of the steps: over so many the fall is measured


@dataclass(frozen=True)
class Trial:
    """One step of the search; ``loss`` in nats per token, ``smooth`` its running mean."""

    rate: float
    loss: float
    smooth: float


def try_rates(run: Stepping, lowest: float, highest: float, steps: int, advance: Advance = ignore) -> list[Trial]:
    """Train ``run``, which is used up, at rates from ``lowest`` to ``highest``, until the loss breaks out."""
    trials: list[Trial] = []
    mean, weight = 0.0, 0.0
    run.objective.train()
    for rate in np.geomspace(lowest, highest, steps).tolist():
        loss, _, _, _ = train_step(run, rate / run.config.learning_rate)
        run.state.step += 1
        advance(1)
        if not math.isfinite(float(loss)):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * float(loss)
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        trials.append(Trial(rate, float(loss), mean / weight))
        if trials[-1].smooth > BROKEN_OUT * min(trial.smooth for trial in trials):
            break
    return trials


def suggest(trials: list[Trial]) -> float:
    """The rate at which the smoothed loss fell fastest; two significant digits.

    Not the rate of the lowest loss: there it is already too high to be held.
    """
    span = max(1, round(SPAN * len(trials)))
    falls = [after.smooth - before.smooth for before, after in zip(trials, trials[span:], strict=False)]
    steepest = min(range(len(falls)), key=falls.__getitem__)
    return float(f"{trials[steepest + span // 2].rate:.2g}")
