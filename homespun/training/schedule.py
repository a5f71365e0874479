"""The learning rate of each step, as a share of the highest rate.

``trapezoid``  rise, stay, fall in a straight line (Zhai et al. 2022; Hägele et al. 2024, "Scaling Laws
               and Compute-Optimal Training Beyond Fixed Training Durations"). Until the fall begins it
               does not depend on the total, so the end may still be moved.
``cosine``     rise, then half a cosine down (Loshchilov & Hutter 2017).
``noam``       rise, then fall as 1 / sqrt(step) without end (Vaswani et al. 2017, section 5.3). Theirs is the highest
               rate (width * warm-up steps)^-0.5.
"""

import math
from collections.abc import Callable

from homespun.training.settings import TrainingConfig


def first_decay_step(total: int, config: TrainingConfig) -> int:
    """The step (from 0) at which the trapezoid's fall begins in a run of ``total`` steps."""
    return total - round(config.decay_fraction * total)


def trapezoid(step: int, total: int, config: TrainingConfig) -> float:
    """Share of the highest rate at ``step`` (from 0) of ``total``."""
    rise = min(1.0, (step + 1) / (config.warmup_steps + 1))
    start = first_decay_step(total, config)
    if step < start:
        return rise
    done = (step + 1 - start) / (total - start)
    return rise * (1 - (1 - config.final_rate_fraction) * done)


def cosine(step: int, total: int, config: TrainingConfig) -> float:
    """Share of the highest rate at ``step`` (from 0) of ``total``."""
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    done = min(1.0, (step - config.warmup_steps + 1) / max(1, total - config.warmup_steps))
    return config.final_rate_fraction + (1 - config.final_rate_fraction) * 0.5 * (1 + math.cos(math.pi * done))


def noam(step: int, total: int, config: TrainingConfig) -> float:
    """Share of the highest rate at ``step`` (from 0); how many there will be does not matter."""
    warmups = (step + 1) / (config.warmup_steps + 1)
    return min(warmups, warmups**-0.5)


SCHEDULES: dict[str, Callable[[int, int, TrainingConfig], float]] = {
    "trapezoid": trapezoid,
    "cosine": cosine,
    "noam": noam,
}
# Until the trapezoid's fall begins their rate does not depend on the total: the end of a run may be moved.
WITHOUT_TOTAL = ("trapezoid", "noam")
