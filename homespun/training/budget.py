"""The plan: which model, batch and number of steps give the lowest expected loss in the time there is.

In: what the text is like (``TextFacts``), the seconds for training, the measured speed of this machine.
Out: the best ``Expectation``: a shape, a batch, a number of steps and the loss. Every ladder shape is
tried on paper: its tokens per second follow from the measured ones, tokens and epochs from the time,
and the expected loss from a law fitted on runs of this project (docs/experiments.md).

The law gives the loss as a share of the unigram loss U (what knowing only how often each token occurs
costs), which makes one set of constants fit languages, code and vocabularies alike. Its form is that of
Hoffmann et al. 2022, with repeated text worth less and less after Muennighoff et al. 2023:

    loss / U = (G / U)^redundancy_power * (floor + size_scale / M^size_power + data_scale / D^data_power)

M: weights of the block matrices; D: effective tokens read; G: what gzip -9 needs, in the unit of U. The first
factor lowers the expectation for text that repeats itself, such as code.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from homespun.common.errors import UsageError
from homespun.models.arithmetic import (
    matrix_parameters,
    parameter_count,
    training_flops_per_token,
)
from homespun.models.settings import GPTConfig, ModelConfig
from homespun.training.dial import Dial
from homespun.training.execution import Execution
from homespun.training.machine import Speed, candidates, fastest, measure_step
from homespun.training.memory import PROCESS, largest_part, needed_bytes
from homespun.training.settings import TrainingConfig
from homespun.training.world import world_size_asked

# (width, layers) from seconds on a laptop to days on a GPU, with heads of 64 channels.
LADDER = (
    (64, 2), (64, 4), (128, 3), (128, 4), (192, 4), (192, 6), (256, 5), (256, 7), (320, 6), (384, 6), (384, 8),
    (512, 8), (640, 10), (768, 12), (1024, 16), (1280, 20), (1600, 24),
)  # fmt: skip
HEAD_WIDTH = 64
MEASURED_SHAPES = ((64, 4), (128, 4), (256, 7), (512, 8), (768, 12), (1280, 20))
LONGEST_MEASURED_STEP = 0.4  # seconds: larger shapes are extrapolated, not waited for
PASSES_WITHOUT_DROPOUT = 8
RATES = {"adamw": (4e-3, 0.5), "muon": (7.8e-3, 0.95)}  # at width 128, and the power by which it falls with the width
SHORTEST_TIME, TIME_RATIO, TIMES_TRIED = 5.0, 1.25, 80  # seconds; the last is about nine years


@dataclass(frozen=True)
class Law:
    """The fitted constants. The exponent of size and the floor are not fitted: runs of minutes cannot tell them."""

    floor: float = 0.22
    size_scale: float = 4.66
    size_power: float = 0.34  # Hoffmann et al. 2022, approach 3
    data_scale: float = 6.52
    data_power: float = 0.2177
    repeats_worth: float = 22.0
    redundancy_power: float = 0.17


LAW = Law()
LAW_OPTIMIZER = "muon"  # of the runs that it is fitted on


@dataclass(frozen=True)
class TextFacts:
    """The text as the plan sees it, through its tokenizer. ``unigram_loss`` is in nats per token.

    Of pairs: tokens of one side, its mark with it, ``mean_side`` and ``longest_side``; 0 for running text.
    """

    train_bytes: int
    validation_bytes: int
    bytes_per_token: float
    unigram_loss: float
    gzip_bits_per_byte: float
    mean_side: int = 0
    longest_side: int = 0

    @property
    def train_tokens(self) -> float:
        """Of the whole training split."""
        return self.train_bytes / self.bytes_per_token

    @property
    def validation_tokens(self) -> float:
        """Of the whole validation split."""
        return self.validation_bytes / self.bytes_per_token

    @property
    def validation_targets(self) -> float:
        """Every token is one."""
        return self.validation_tokens

    def bits_per_byte(self, loss: float) -> float:
        """Of a loss in nats per token."""
        return loss / math.log(2) / self.bytes_per_token


@dataclass(frozen=True)
class Expectation:
    """What a candidate promises; ``loss`` in nats per token."""

    model: GPTConfig
    batch_size: int
    steps: int
    tokens_per_second: float
    loss: float
    final_validation_seconds: float
    memory_bytes: int
    most_steps: int

    @property
    def ends_early(self) -> bool:
        """There is time for more steps than the text is good for."""
        return self.steps == self.most_steps


@dataclass(frozen=True)
class Machine:
    """Measured speeds and the execution that won at the largest shape."""

    execution: Execution
    speeds: tuple[Speed, ...] = field(default=())

    def tokens_per_second(self, config: GPTConfig, precision: str = "") -> float:
        """Of training. Interpolated in operations per token, on logarithmic scales; constant beyond the ends."""
        flops = training_flops_per_token(config)
        best: dict[float, float] = {}
        for speed in self.speeds:
            if speed.precision == (precision or self.execution.precision):
                best[speed.flops_per_token] = max(best.get(speed.flops_per_token, 0.0), speed.flops_per_second)
        places = [math.log(place) for place in sorted(best)]
        rates = [math.log(best[place]) for place in sorted(best)]
        return math.exp(float(np.interp(math.log(flops), places, rates))) / flops

    def validation_tokens_per_second(self, config: GPTConfig) -> float:
        """Of the final validation: forward only, a third of training, in fp32 where that was measured."""
        measured = {speed.precision for speed in self.speeds}
        return 3 * self.tokens_per_second(config, "fp32" if "fp32" in measured else self.execution.precision)


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


def measure_machine(
    base: GPTConfig, rows: int, training: TrainingConfig, threads: int, device: torch.device
) -> Machine:
    """Time real steps of growing shapes until one takes long; every execution at first, then the two that lead."""
    speeds: list[Speed] = []
    ways = candidates(base, training, threads, device)
    for width, layers in MEASURED_SHAPES:
        config = shape(base, width, layers, frozenset())
        row = [measure_step(config, rows, way, device, training) for way in ways]
        speeds += row
        ways = [speed.execution for speed in sorted(row, key=lambda speed: -speed.tokens_per_second)[:2]]
        if rows * config.context / row[0].tokens_per_second > LONGEST_MEASURED_STEP:
            break
    return Machine(fastest(row).execution, tuple(speeds))


def expected_loss(law: Law, facts: TextFacts, config: ModelConfig, tokens: float) -> float:
    """Validation loss in nats per token after ``tokens`` of training on the text of ``facts``."""
    unique = facts.train_tokens
    if tokens > unique:  # Muennighoff et al. 2023, equation 5: what is read again is worth less each time
        repeats = (tokens - unique) / unique
        tokens = unique * (1 + law.repeats_worth * (1 - math.exp(-repeats / law.repeats_worth)))
    size = law.size_scale / matrix_parameters(config) ** law.size_power
    data = law.data_scale / tokens**law.data_power
    redundancy = (facts.gzip_bits_per_byte / facts.bits_per_byte(facts.unigram_loss)) ** law.redundancy_power
    return facts.unigram_loss * redundancy * (law.floor + size + data)


@dataclass(frozen=True)
class Situation:
    """What a plan is made from.

    ``model`` and ``training`` hold the user's own values under the dotted keys in ``fixed``; the rest is open.
    ``seconds`` are for training and the final validation together, ``memory`` is what this process may hold, in bytes.
    """

    facts: TextFacts
    model: GPTConfig
    training: TrainingConfig
    fixed: frozenset[str]
    machine: Machine
    seconds: float
    memory: int


def shapes_of(situation: Situation) -> list[GPTConfig]:
    """The shapes to choose from; where processes divide every block, those that can be divided."""
    found, parts = rungs(situation.model, situation.fixed), situation.training.parts_of_block(world_size_asked())
    return [shape for shape in found if not shape.why_not_divided(parts)] or found


def best_candidate(law: Law, situation: Situation) -> Expectation:
    """The shape with the lowest expected loss among those that fit into memory."""
    found = [expectation(law, situation, shape) for shape in shapes_of(situation)]
    fitting = [one for one in found if one.memory_bytes <= situation.memory] or found[:1]
    return min(fitting, key=lambda one: one.loss)


def candidate_for_time(law: Law, situation: Situation, dial: Dial) -> Expectation:
    """The best in ``situation.seconds``."""
    return best_candidate(law, situation)


def candidate_for_tokens(law: Law, situation: Situation, dial: Dial) -> Expectation:
    """The best of the time in which about so many tokens are read, with exactly that many."""
    assert dial.tokens is not None
    found, at = next(
        ((found, at) for found, at in over_time(law, situation) if tokens_of(found) >= dial.tokens),
        list(over_time(law, situation))[-1],
    )
    return with_tokens(law, at, found, dial.tokens)


def tokens_of(found: Expectation) -> int:
    """How many tokens it reads."""
    return found.steps * found.batch_size * found.model.context


def candidate_for_size(law: Law, situation: Situation, dial: Dial) -> Expectation:
    """The shape nearest in size, trained for as long as makes it the best choice: the middle of those times."""
    assert dial.parameters is not None
    nearest = nearest_shape(situation, dial.parameters)
    found = [(one, at) for one, at in over_time(law, situation) if one.model == nearest]
    if not found:  # never the best: as long as the time in which another of its size or more is
        size = matrix_parameters(nearest)
        found = [(one, at) for one, at in over_time(law, situation) if matrix_parameters(one.model) >= size][:1]
    _, at = found[len(found) // 2] if found else list(over_time(law, situation))[-1]
    return expectation(law, at, nearest)


def nearest_shape(situation: Situation, parameters: int) -> GPTConfig:
    """The one with about so many."""
    return min(shapes_of(situation), key=lambda shape: abs(math.log(parameter_count(shape) / parameters)))


def over_time(law: Law, situation: Situation) -> Iterator[tuple[Expectation, Situation]]:
    """The best candidate for each of many times, from seconds to years."""
    for number in range(TIMES_TRIED):
        at = replace(situation, seconds=SHORTEST_TIME * TIME_RATIO**number)
        yield best_candidate(law, at), at


def with_tokens(law: Law, situation: Situation, found: Expectation, tokens: int) -> Expectation:
    """The same shape and batch, reading ``tokens``."""
    steps = max(1, round(tokens / (found.batch_size * found.model.context)))
    training = replace(situation.training, steps=steps, batch_size=found.batch_size)
    fixed = situation.fixed | {"training.steps", "training.batch_size"}
    return expectation(law, replace(situation, training=training, fixed=fixed), found.model)


def expectation(law: Law, situation: Situation, model: GPTConfig) -> Expectation:
    """What one shape promises."""
    facts, machine, fixed = situation.facts, situation.machine, situation.fixed
    speed = machine.tokens_per_second(model)
    final = facts.validation_tokens / machine.validation_tokens_per_second(model)
    seconds = max(0.0, situation.seconds - final)
    batch_size = situation.training.batch_size
    if "training.batch_size" not in fixed:
        batch_size = batch_for(model.context, seconds * speed)
    tokens_per_step = batch_size * model.context
    most_steps = max(1, int(most_passes(facts, model) * facts.train_tokens / tokens_per_step))
    steps = min(most_steps, max(1, int(seconds * speed / tokens_per_step)))
    if "training.steps" in fixed:
        steps = situation.training.steps
    loss = expected_loss(law, facts, model, steps * tokens_per_step)
    part = largest_part(model, situation.training, batch_size, situation.memory - PROCESS) or 1
    memory = PROCESS + int(needed_bytes(model, situation.training, batch_size, part))
    return Expectation(model, batch_size, steps, speed, loss, final, memory, most_steps)


def most_passes(facts: TextFacts, model: GPTConfig) -> float:
    """How often a text may be read before the model only learns it by heart, with dropout.

    The fewer tokens there are for each weight, the sooner. Set by runs on 19 kB of text, and above what runs
    on 1 MB have borne without harm (docs/experiments.md).
    """
    return 60 * (facts.train_tokens / parameter_count(model)) ** 0.3


def dropout_for(passes: float) -> float:
    """Dropout pays as soon as a text is read many times, and costs before (docs/experiments.md)."""
    return 0.2 if passes > PASSES_WITHOUT_DROPOUT else 0.0


def batch_for(context: int, tokens: float) -> int:
    """Windows per step: 1,024 tokens for short runs, more for longer ones, as the useful batch grows.

    McCandlish et al. 2018: the useful batch grows as the loss falls. At 800,000 tokens, 1,024 a step were
    1.5 % better than 2,048 (docs/experiments.md); the square root beyond is not yet measured.
    """
    wanted = min(262_144.0, max(1024.0, 1024.0 * math.sqrt(tokens / 5e6)))
    return max(1, round(wanted / context))


def learning_rate_for(width: int, optimizer: str) -> float:
    """The highest rate at a width.

    Muon's is fitted on three rates at each of the widths 64, 128 and 256 (docs/experiments.md): about 1 / width.
    AdamW's did best of those tried at width 128; that it falls with the square root of the width is assumed.
    Narrower models than the ladder has get the rate of its narrowest: there nothing is fitted, and 5e-2 was too much.
    """
    at_128, power = RATES[optimizer]
    return float(f"{at_128 * (128 / max(width, LADDER[0][0])) ** power:.3g}")
