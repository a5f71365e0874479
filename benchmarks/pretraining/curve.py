"""One training run as both sides report it: seconds per step in, a curve of exact loss over seconds out.

The clock is the same for both: wall time from one step's log line to the next. A step that also holds
the program's start or an evaluation (steps 0, interval, 2 x interval …, on both sides) counts as a
median step: neither start-up nor evaluation is in any figure.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

VOCABULARY_LIMIT = 1 << 16  # nanoGPT's files are uint16
CONTEXT, BATCH_SIZE, LAYERS, HEADS, WIDTH = 64, 12, 4, 4, 128  # nanoGPT's README, "I only have a macbook"
TOKENS_PER_STEP = CONTEXT * BATCH_SIZE


@dataclass(frozen=True)
class Point:
    """After ``step`` updates and ``seconds`` of training: the exact validation loss, nats per token."""

    step: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Curve:
    """One run: what was trained, how fast, how low."""

    parameters: int
    precision: str
    seed: int
    tokens_per_second: float
    points: tuple[Point, ...]

    @property
    def final_loss(self) -> float:
        """Exact validation loss of the last evaluation."""
        return self.points[-1].loss

    def seconds_to(self, loss: float) -> float | None:
        """Seconds until the validation loss is ``loss``: a straight line between the two evaluations around it.

        None if it was never reached. Before the first evaluation there is no line: its own seconds then.
        """
        if self.points[0].loss <= loss:
            return self.points[0].seconds
        for above, below in itertools.pairwise(self.points):
            if below.loss <= loss:
                share = (above.loss - loss) / (above.loss - below.loss)
                return above.seconds + share * (below.seconds - above.seconds)
        return None


def median_step(step_seconds: Sequence[float], interval: int) -> float:
    """Seconds of a step that holds neither the start nor an evaluation."""
    return statistics.median(seconds for step, seconds in enumerate(step_seconds) if step % interval)


def make_curve(
    step_seconds: Sequence[float], losses: dict[int, float], interval: int, parameters: int, precision: str, seed: int
) -> Curve:
    """``step_seconds[i]``: wall time of update i (from 0); ``losses[n]``: exact loss after n updates."""
    usual = median_step(step_seconds, interval)
    clean = [seconds if step % interval else usual for step, seconds in enumerate(step_seconds)]
    elapsed = [0.0, *itertools.accumulate(clean)]
    points = tuple(Point(step, elapsed[step], loss) for step, loss in sorted(losses.items()))
    return Curve(parameters, precision, seed, TOKENS_PER_STEP / usual, points)
