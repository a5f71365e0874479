"""How many steps a run has: fixed, or as many as fit into the time that was asked for.

``FixedPace`` is the configured number. ``TimedPace`` revises the number as the run goes, from the
steps that this very run has made, until the learning rate begins to fall; then it is final. The
trapezoid's rate does not depend on the total before the fall, so the weights of a timed run are
exactly those of a run that was given its final number of steps from the start.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from homespun.training.schedule import first_decay_step
from homespun.training.settings import TrainingConfig

STEPS_TO_JUDGE_BY = 20


class Pace(Protocol):
    """Tells the total number of steps, asked before every step."""

    def total_steps(self, step: int, total: int, seconds: float) -> int:
        """The total, given ``step`` done in ``seconds`` of training and the ``total`` so far."""
        ...


class FixedPace:
    """The total stays what it is."""

    def total_steps(self, step: int, total: int, seconds: float) -> int:
        return total


@dataclass
class TimedPace:
    """Steps that fit into ``seconds`` of training (evaluation and checkpoints included), at most ``most_steps``."""

    seconds: float
    config: TrainingConfig
    most_steps: float = math.inf
    origin: tuple[int, float] | None = None  # step and seconds from which this process has been running

    def total_steps(self, step: int, total: int, seconds: float) -> int:
        if self.origin is None:
            self.origin = (step, seconds)
        if step >= first_decay_step(total, self.config) or step - self.origin[0] < STEPS_TO_JUDGE_BY:
            return total
        seconds_per_step = (seconds - self.origin[1]) / (step - self.origin[0])
        fitting = step + int((self.seconds - seconds) / seconds_per_step)
        return max(int(min(fitting, self.most_steps)), self.least_total(step))

    def least_total(self, step: int) -> int:
        """The fall may not begin before ``step``: earlier steps were made at the full rate.

        Exactly the smallest such total: one too many, asked for at every step, would put the fall off again and again.
        """
        total = int((step - 0.5) / max(1e-9, 1 - self.config.decay_fraction))
        while first_decay_step(total, self.config) < step:
            total += 1
        return total
