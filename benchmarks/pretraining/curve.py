"""One training run as both sides report it: exact validation losses over seconds.

Two clocks, alike for both sides. *Training*: everything from the first batch to the last update, evaluations and
checkpoints left out. *Process*: the same, and what the process needs besides (interpreter, imports, building the
model, finding out what the machine is good at, its end).
"""

import itertools
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """After ``step`` updates and ``seconds`` of training: the exact validation loss, nats per token."""

    step: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Curve:
    """One run: what was trained, how fast, how low. ``start_seconds`` is what the process took besides training."""

    parameters: int
    execution: str  # how steps are carried out: precision and so on
    seed: int
    tokens_per_step: int
    step_seconds: float  # the median
    start_seconds: float
    points: tuple[Point, ...]

    @property
    def tokens_per_second(self) -> float:
        """Of a median step."""
        return self.tokens_per_step / self.step_seconds

    @property
    def seconds(self) -> float:
        """Training time of the whole run."""
        return self.points[-1].seconds

    @property
    def final_loss(self) -> float:
        """Exact validation loss at the end."""
        return self.points[-1].loss

    def seconds_to(self, loss: float) -> float | None:
        """Training time until the loss is ``loss``: a straight line between the two evaluations around it.

        None if it was never reached. Before the first evaluation there is no line: its own seconds then.
        """
        if self.points[0].loss <= loss:
            return self.points[0].seconds
        for above, below in itertools.pairwise(self.points):
            if below.loss <= loss:
                share = (above.loss - loss) / (above.loss - below.loss)
                return above.seconds + share * (below.seconds - above.seconds)
        return None

    def lowest_within(self, process_seconds: float) -> float | None:
        """The lowest loss of an evaluation within so much time of the process; None before the first."""
        losses = [point.loss for point in self.points if self.start_seconds + point.seconds <= process_seconds]
        return min(losses, default=None)


def curve_of(figures: dict[str, Any]) -> Curve:
    """A curve that came as JSON."""
    return Curve(**figures | {"points": tuple(Point(**point) for point in figures["points"])})
