"""How many tokens the vocabulary of a run has: the number that promises the fewest bits per byte for the compute.

A larger vocabulary takes fewer tokens for the same text, but each costs more (the read-out multiplies by all of them)
and is met less often. Where that turns depends on the compute, as Tao et al. 2024 have found ("Scaling Laws with
Vocabulary": the vocabulary's parameters are to grow as the 0.83rd power of the others'). So the machine is measured
first, and each size is tried on paper with the shape that would be best for it, by the law that chooses the shape
itself (``homespun.training.budget``). Their own power law, fitted from 33 million parameters up, asks for too few where
a run takes minutes (docs/experiments.md).

In: choices, the dial, the text, the measured machine. Out: a size and, in a few words, why.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch

from homespun.corpus.prepare import CorpusManifest
from homespun.models.arithmetic import parameter_count, training_flops_per_token
from homespun.models.settings import GPTConfig, TextModelConfig
from homespun.pipeline.configuration import Choices
from homespun.pipeline.environment import free_memory_bytes
from homespun.pipeline.planning.configured import has_law
from homespun.pipeline.planning.facts_by_vocabulary import facts_by_vocabulary
from homespun.pipeline.planning.memory import SHARE_OF_FREE_MEMORY
from homespun.pipeline.planning.plan import LEAST_TRAINING_SECONDS, fixed_keys
from homespun.pipeline.planning.pretraining import (
    ENCODED_BYTES_PER_SECOND,
    MEASURED_TOKENS,
    SECONDS_OF_SAMPLES_AND_REPORT,
    best_for,
    context_for,
    measured_machine,
)
from homespun.tokenizer.settings import BYTES, TokenizerConfig
from homespun.tokenizer.training import train_tokenizer
from homespun.training.budget import (
    LAW,
    Machine,
    Situation,
    TextFacts,
    best_candidate,
    expectation,
    expected_loss,
    nearest_shape,
)
from homespun.training.device import available_cores
from homespun.training.dial import Dial
from homespun.training.machine import candidates, measure_step
from homespun.training.memory import PROCESS

SIZES = (512, 1024, 2048, 4096, 8192, 16_384, 32_768)
BYTES_FOR_A_TOKEN = 500  # with less text for each, they are met too seldom (docs/experiments.md)
TRIAL_BYTES = 32_000_000  # of text that the largest is learned from, to see what all of them would be like
USUAL = 2048  # fewer only for a text that does not carry as many: at equal work 1,024 were worse (docs/experiments.md)
CLEARLY_BETTER = 1.04  # the law cannot tell less (docs/experiments.md)
NEAR_IN_SIZE = 1.5  # of two models' weights


@dataclass(frozen=True)
class Chosen:
    """A size and why; ``machine``: as it was measured for that, None where it was not."""

    size: int
    why: str
    machine: Machine | None = None


def choose_vocabulary(
    choices: Choices,
    dial: Dial,
    corpus: CorpusManifest,
    texts: Callable[[str], Iterable[str]],
    device: torch.device,
    spent: float,
) -> Chosen:
    """The size for what nobody has set otherwise. ``spent``: seconds of the run so far; ``texts(split)`` iterates."""
    sizes = sizes_for(corpus.splits["train"].bytes, choices.config.tokenizer)
    if len(sizes) == 1:
        return Chosen(sizes[0], "the text carries no more")
    facts = trial(choices.config.tokenizer, corpus, texts, sizes)
    middle = sorted(facts)[len(facts) // 2]
    fixed = fixed_keys(choices) - {"training.steps", "model.vocabulary_size"}  # as many steps take longer with more
    context = {} if "model.context" in fixed else {"model.context": context_for(facts[middle])}
    choices = choices.with_values(context | {"model.vocabulary_size": middle}, "plan")
    began = time.monotonic()
    machine = measured_machine(choices, device) if has_law(choices.config.model) else None
    spent += time.monotonic() - began + facts[middle].train_bytes / ENCODED_BYTES_PER_SECOND
    after = SECONDS_OF_SAMPLES_AND_REPORT + dial.seconds_kept
    seconds = max(LEAST_TRAINING_SECONDS, (dial.minutes or 0.0) * 60 - spent - after)
    if machine is not None:
        memory = PROCESS + int(SHARE_OF_FREE_MEMORY * free_memory_bytes(device))
        model, training = choices.config.model, choices.config.training
        assert isinstance(model, GPTConfig)
        situation = Situation(facts[middle], model, training, fixed, machine, seconds, memory)
        bits = bits_with_best_shapes(situation, dial, facts)
    else:
        bits = bits_with_given_shape(choices, dial, facts, device, seconds)
    size = smallest_of_best(bits)
    return Chosen(size, why(size, bits), machine)


def sizes_for(train_bytes: int, config: TokenizerConfig) -> list[int]:
    """Powers of two from 2,048 to 32,768, up to the one nearest to a token for 500 bytes of text; fewer for less."""
    least = BYTES + len(config.special_names())
    sizes = [size for size in SIZES if size >= least] or [SIZES[-1]]
    limit = train_bytes / BYTES_FOR_A_TOKEN
    carried = [size for size in sizes if size == sizes[0] or size * 0.75 <= limit]
    return [size for size in carried if size >= USUAL] or carried


def trial(
    config: TokenizerConfig, corpus: CorpusManifest, texts: Callable[[str], Iterable[str]], sizes: list[int]
) -> dict[int, TextFacts]:
    """What the text is like through each size, by the largest of them, learned from a part of a long text."""
    learned_from = min(config.training_bytes or TRIAL_BYTES, TRIAL_BYTES)
    wanted = replace(config, vocabulary_size=sizes[-1], training_bytes=learned_from)
    tokenizer, _ = train_tokenizer(texts("train"), wanted)
    return facts_by_vocabulary(corpus, tokenizer, texts, sizes)


def bits_with_best_shapes(situation: Situation, dial: Dial, facts: Mapping[int, TextFacts]) -> dict[int, float]:
    """Expected bits per byte with each size and the shape that is best for it, all in the same time.

    ``situation`` is that of one of the sizes. What the dial asks of tokens or of the model's size says, with that one,
    for how long; of a model's size, vocabularies that bring it elsewhere are left out.
    """
    if dial.minutes is None:
        found = best_for(situation, dial)
        training_seconds = found.steps * found.batch_size * found.model.context / found.tokens_per_second
        situation = replace(situation, seconds=training_seconds + found.final_validation_seconds)
    cases = {
        size: replace(situation, facts=one, model=replace(situation.model, vocabulary_size=size))
        for size, one in facts.items()
    }
    if dial.parameters is None:
        found_for = {size: best_candidate(LAW, case) for size, case in cases.items()}
    else:
        shapes = {size: nearest_shape(case, dial.parameters) for size, case in cases.items()}
        off = {size: abs(math.log(parameter_count(shape) / dial.parameters)) for size, shape in shapes.items()}
        near = [size for size in cases if off[size] <= max(min(off.values()), math.log(NEAR_IN_SIZE))]
        found_for = {size: expectation(LAW, cases[size], shapes[size]) for size in near}
    return {size: facts[size].bits_per_byte(found.loss) for size, found in found_for.items()}


def bits_with_given_shape(
    choices: Choices, dial: Dial, facts: Mapping[int, TextFacts], device: torch.device, seconds: float
) -> dict[int, float]:
    """The same for a shape that is set, of whatever architecture: the law says what a decoder of as many weights gains.

    ``choices`` are those with one of the sizes; the speed is measured with that one.
    """
    model, training = choices.config.model, choices.config.training
    assert isinstance(model, TextModelConfig)
    execution, *_ = candidates(model, training, training.threads or available_cores(), device)
    speed = measure_step(model, max(1, MEASURED_TOKENS // model.positions_in_row), execution, device, training)
    operations = dial.tokens * speed.flops_per_token if dial.tokens else seconds * speed.flops_per_second
    bits = {}
    for size, one in facts.items():
        with_size = replace(model, vocabulary_size=size)
        tokens = operations / training_flops_per_token(with_size)
        bits[size] = one.bits_per_byte(expected_loss(LAW, one, with_size, tokens))
    return bits


def smallest_of_best(bits: Mapping[int, float]) -> int:
    """Of the sizes that none clearly beats the smallest: the law promised most for those that were too large."""
    return min(size for size in bits if bits[size] <= CLEARLY_BETTER * min(bits.values()))


def why(size: int, bits: Mapping[int, float]) -> str:
    """In a few words: what is expected with it, and with those beside it."""
    sizes = sorted(bits)
    place = sizes.index(size)
    beside = [sizes[other] for other in (place - 1, place + 1) if 0 <= other < len(sizes)]
    told = "; ".join([f"expected {bits[size]:.3f} bits per byte", *(f"{bits[one]:.3f} with {one:,}" for one in beside)])
    if bits[size] > min(bits.values()):
        told += f"; within {CLEARLY_BETTER - 1:.0%} the smallest is taken"
    return told if place + 1 < len(sizes) or size == SIZES[-1] else f"{told}; the text carries no more"
