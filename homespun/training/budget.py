"""The plan: which model, batch and number of steps give the lowest expected loss in the time there is.

In: what the text is like (``TextFacts``), the seconds for training, the measured speed of this machine.
Out: a ``Plan`` with the chosen values, the reason for each, and what to expect. Every ladder shape is
tried on paper: its tokens per second follow from the measured ones, tokens and epochs from the time,
and the expected loss from a law fitted on runs of this project (docs/experiments.md).

The law, in bits per byte, after Hoffmann et al. 2022 (size and data) and Muennighoff et al. 2023
(repeated data is worth less and less):

    bits = gzip's bits * (floor + size_scale / M^size_power + data_scale / D^data_power)

M: weights of the block matrices and the head's use of them; D: effective bytes of text read.
"""

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from homespun.common.errors import UsageError
from homespun.models.arithmetic import (
    matrix_parameters,
    training_flops_per_token,
    training_memory_bytes,
)
from homespun.models.settings import GPTConfig
from homespun.training.machine import Speed, measure_step
from homespun.training.settings import TrainingConfig

# (width, layers): heads of 64 channels, about four times the operations every other row.
LADDER = (
    (64, 2), (64, 4), (128, 3), (128, 4), (192, 4), (192, 6), (256, 5), (256, 7), (320, 6), (384, 6), (384, 8),
    (512, 8), (640, 10), (768, 12), (1024, 16), (1280, 20), (1600, 24),
)  # fmt: skip
HEAD_WIDTH = 64
MEASURED_SHAPES = ((64, 4), (128, 4), (256, 7), (512, 8), (768, 12), (1280, 20))
LONGEST_MEASURED_STEP = 0.4  # seconds: larger shapes are extrapolated, not waited for
SHARE_OF_MEMORY = 0.6


@dataclass(frozen=True)
class Law:
    """The fitted constants."""

    floor: float = 0.40
    size_scale: float = 6.0
    size_power: float = 0.30
    data_scale: float = 150.0
    data_power: float = 0.40
    repeat_half_life: float = 8.0


LAW = Law()


@dataclass(frozen=True)
class TextFacts:
    """The text as the plan sees it: sizes in bytes, gzip -9's bits per byte of the validation text."""

    train_bytes: int
    validation_bytes: int
    bytes_per_token: float
    gzip_bits_per_byte: float
    vocabulary_size: int

    @property
    def validation_tokens(self) -> float:
        """Of the whole validation split."""
        return self.validation_bytes / self.bytes_per_token


@dataclass(frozen=True)
class Expectation:
    """What a candidate promises."""

    model: GPTConfig
    batch_size: int
    steps: int
    tokens_per_second: float
    bits_per_byte: float
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """Measured speeds and the precision that won."""

    precision: str
    speeds: tuple[Speed, ...] = field(default=())

    def tokens_per_second(self, config: GPTConfig) -> float:
        """Interpolated in operations per token, on logarithmic scales; constant beyond the ends."""
        flops = training_flops_per_token(config)
        rows = sorted((s for s in self.speeds if s.precision == self.precision), key=lambda s: s.flops_per_token)
        if flops <= rows[0].flops_per_token:
            return rows[0].flops_per_second / flops
        for low, high in itertools.pairwise(rows):
            if flops <= high.flops_per_token:
                share = math.log(flops / low.flops_per_token) / math.log(high.flops_per_token / low.flops_per_token)
                rate = low.flops_per_second ** (1 - share) * high.flops_per_second**share
                return rate / flops
        return rows[-1].flops_per_second / flops


def shape(base: GPTConfig, width: int, layers: int, fixed: frozenset[str]) -> GPTConfig:
    """``base`` at one rung of the ladder; what the user has fixed stays."""
    wanted = {"width": width, "layers": layers, "heads": max(1, width // HEAD_WIDTH)}
    changes: dict[str, Any] = {key: value for key, value in wanted.items() if f"model.{key}" not in fixed}
    return replace(base, **changes)


def rungs(base: GPTConfig, fixed: frozenset[str]) -> list[GPTConfig]:
    """The shapes that agree with what the user has fixed."""
    found = []
    for width, layers in LADDER:
        try:
            found.append(shape(base, width, layers, fixed))
        except UsageError:  # heads that the user fixed do not divide this width
            continue
    return list(dict.fromkeys(found)) or [base]


def measure_machine(base: GPTConfig, batch_size: int, precision: str, device: torch.device) -> Machine:
    """Time real steps of growing shapes until one takes long. ``precision`` auto: measure both, take the better."""
    speeds: list[Speed] = []
    candidates = ["fp32", "bf16"] if precision == "auto" else [precision]
    for width, layers in MEASURED_SHAPES:
        config = shape(base, width, layers, frozenset())
        row = [measure_step(config, batch_size, candidate, device) for candidate in candidates]
        speeds += row
        if len(speeds) > len(candidates) and len(candidates) > 1:
            candidates = [max(row, key=lambda speed: speed.tokens_per_second).precision]
        if batch_size * config.context / row[0].tokens_per_second > LONGEST_MEASURED_STEP:
            break
    best = max(speeds[-len(row) :], key=lambda speed: speed.tokens_per_second).precision
    return Machine(best, tuple(speeds))


def expected_bits(law: Law, facts: TextFacts, config: GPTConfig, tokens: float) -> float:
    """Validation loss in bits per byte after ``tokens`` of training on the text of ``facts``."""
    read = tokens * facts.bytes_per_token
    epochs = read / facts.train_bytes
    if epochs > 1:  # Muennighoff et al. 2023, equation 5: what is read again is worth less each time
        read = facts.train_bytes * (1 + law.repeat_half_life * (1 - math.exp(-(epochs - 1) / law.repeat_half_life)))
    size = law.size_scale / matrix_parameters(config) ** law.size_power
    data = law.data_scale / read**law.data_power
    return facts.gzip_bits_per_byte * (law.floor + size + data)


def best_candidate(
    law: Law,
    facts: TextFacts,
    model: GPTConfig,
    training: TrainingConfig,
    fixed: frozenset[str],
    machine: Machine,
    seconds: float,
    memory: int,
) -> Expectation:
    """The shape with the lowest expected loss among those that fit into ``memory`` bytes.

    ``fixed``: dotted keys whose values in ``model`` and ``training`` are the user's own.
    """
    found = [expectation(law, facts, one, training, fixed, machine, seconds) for one in rungs(model, fixed)]
    fitting = [one for one in found if one.memory_bytes <= memory * SHARE_OF_MEMORY] or found[:1]
    return min(fitting, key=lambda one: one.bits_per_byte)


def expectation(
    law: Law,
    facts: TextFacts,
    model: GPTConfig,
    training: TrainingConfig,
    fixed: frozenset[str],
    machine: Machine,
    seconds: float,
) -> Expectation:
    """What one shape promises in ``seconds`` of training."""
    speed = machine.tokens_per_second(model)
    batch_size = training.batch_size
    if "training.batch_size" not in fixed:
        batch_size = batch_for(model.context, seconds * speed)
    tokens_per_step = batch_size * model.context
    steps = max(1, int(seconds * speed / tokens_per_step))
    if "training.steps" in fixed:
        steps = training.steps
    bits = expected_bits(law, facts, model, steps * tokens_per_step)
    return Expectation(model, batch_size, steps, speed, bits, training_memory_bytes(model, tokens_per_step))


def batch_for(context: int, tokens: float) -> int:
    """Windows per step: about 2,000 tokens for short runs, more for longer ones, as the useful batch grows.

    After McCandlish et al. 2018 the useful batch grows as the loss falls; the square root is this
    project's own fit (docs/experiments.md).
    """
    wanted = min(262_144.0, max(2048.0, 2048.0 * math.sqrt(tokens / 8e6)))
    return max(1, round(wanted / context))


def learning_rate_for(width: int) -> float:
    """The highest rate of AdamW for a width, fitted on widths 64 to 384 (docs/experiments.md)."""
    return round(4e-3 * (128 / width) ** 0.5, 5)
