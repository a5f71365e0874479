"""From minutes to a plan of a model that begins at nothing: shape, batch, steps, and what to expect.

In: what nobody has set (``Choices``), and the facts of the data (``facts_of_data``). The machine is
measured, and model, batch and steps are chosen (``homespun.training.budget``). How much text is read, and the
vocabulary, were chosen before (``choose_text``, ``choose_vocabulary``).
"""

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

import torch

from homespun.common.errors import UsageError
from homespun.corpus.prepare import CorpusManifest
from homespun.models.arithmetic import parameter_count
from homespun.models.settings import GPTConfig, ModelConfig
from homespun.pipeline.configuration import Choices
from homespun.pipeline.environment import free_memory_bytes
from homespun.pipeline.planning.configured import configured_plan, execution_values, has_law
from homespun.pipeline.planning.facts_of_data import Facts, ImageFacts, of_usual_length, text_facts, with_sides
from homespun.pipeline.planning.memory import SHARE_OF_FREE_MEMORY, fit_into_memory, memory_record, memory_values
from homespun.pipeline.planning.plan import Plan, chosen_before, fixed_keys, refuse_too_little_time, whole_plan
from homespun.pipeline.planning.reasons import IMAGE_REASONS, reasons
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.budget import (
    LAW,
    LAW_OPTIMIZER,
    Expectation,
    Machine,
    Situation,
    TextFacts,
    candidate_for_size,
    candidate_for_time,
    candidate_for_tokens,
    dropout_for,
    learning_rate_for,
    measure_machine,
)
from homespun.training.device import available_cores
from homespun.training.dial import Dial
from homespun.training.execution import Execution
from homespun.training.machine import SECONDS_WORTH_COMPILING, Speed, choose_execution, measure_step
from homespun.training.memory import PROCESS
from homespun.training.schedule import WITHOUT_TOTAL

VALIDATIONS_IN_A_RUN = 12
SHARE_FOR_VALIDATION = 0.06
SAMPLES_IN_A_RUN = 4
SECONDS_OF_SAMPLES_AND_REPORT = 4.0
ENCODED_BYTES_PER_SECOND = 4e6
MEASURED_TOKENS = 2048
SHORTEST_CONTEXT = 32
LEAST_WINDOWS = 64
LONGEST_SIDE = 512  # tokens: longer pairs are left out, unless the user gives them a context
# With all of these given there is nothing left to measure for.
MEASURED_FOR = {"model.width", "model.layers", "training.batch_size", "training.steps"}


def make_plan(
    choices: Choices,
    dial: Dial | None,
    corpus: CorpusManifest,
    tokenizer: Tokenizer,
    texts: Callable[[str], Iterable[str]],
    device: torch.device,
    spent: float,
    pairs: Callable[[str], Iterable[tuple[str, str]]] | None = None,
    machine: Machine | None = None,
) -> Plan:
    """Choose everything that is still open. ``spent``: seconds of the run so far; ``texts(split)`` iterates.

    ``dial`` None: the run is trained as configured. ``pairs``: where the text is pairs, the same in two parts.
    ``machine``: if it was measured before.
    """
    began = time.monotonic()
    facts = text_facts(corpus, tokenizer, texts)
    if pairs is not None:
        facts = with_sides(facts, pairs("train"), tokenizer)
    fixed = fixed_keys(choices) - {"model.vocabulary_size"}  # the tokenizer decides that one, whoever set it
    values = chosen_before(choices) | {"model.vocabulary_size": tokenizer.vocabulary_size}
    if dial is not None and "model.context" not in fixed:
        values["model.context"] = context_for(facts)
    choices = choices.with_values(values, "plan")
    if dial is None or fixed >= MEASURED_FOR:
        plan = configured_plan(choices, fixed, facts, device)
    else:
        spent += time.monotonic() - began + facts.train_bytes / ENCODED_BYTES_PER_SECOND
        if has_law(choices.config.model):
            plan = measured_plan(choices, fixed, dial, facts, device, spent, machine)
        else:
            plan = plan_of_given_shape(choices, fixed, dial, facts, device, spent)
    plan = replace(
        plan,
        reasons=plan.reasons | {"model.context": f"{facts.train_bytes / 1e6:,.1f} MB of text"},
        measured=plan.measured | {"bytes_per_token": facts.bytes_per_token, "unigram_loss": facts.unigram_loss},
    )
    return whole_plan(plan, choices, fixed, values)


def make_image_plan(choices: Choices, dial: Dial | None, facts: ImageFacts, device: torch.device, spent: float) -> Plan:
    """The same for images; the shape is as it is set, but for what follows the images themselves."""
    values, fixed = chosen_before(choices), fixed_keys(choices)
    if dial is None:
        plan = configured_plan(choices, fixed, facts, device)
    else:
        plan = plan_of_given_shape(choices, fixed, dial, facts, device, spent)
    plan = replace(plan, unit="images", reasons=plan.reasons | IMAGE_REASONS)
    return whole_plan(plan, choices, fixed, values)


def measured_machine(choices: Choices, device: torch.device) -> Machine:
    """The speeds of growing shapes on this machine, for a decoder and a training as in the choices."""
    model, training = choices.config.model, choices.config.training
    assert isinstance(model, GPTConfig)  # the ladder of shapes and the law are decoders'
    threads = training.threads or available_cores()
    return measure_machine(model, max(1, MEASURED_TOKENS // model.context), training, threads, device)


def measured_plan(
    choices: Choices,
    fixed: frozenset[str],
    dial: Dial,
    facts: TextFacts,
    device: torch.device,
    spent: float,
    machine: Machine | None = None,
) -> Plan:
    """The best shape for the dial, by measuring this machine unless that is done."""
    began = time.monotonic()
    model, training = choices.config.model, choices.config.training
    assert isinstance(model, GPTConfig)
    machine = machine or measured_machine(choices, device)
    spent += time.monotonic() - began
    seconds = (dial.minutes or 0.0) * 60 - spent - SECONDS_OF_SAMPLES_AND_REPORT - dial.seconds_kept
    memory = PROCESS + int(SHARE_OF_FREE_MEMORY * free_memory_bytes(device))
    situation = Situation(facts, model, training, fixed, machine, seconds, memory)
    best = best_for(situation, dial)
    after = SECONDS_OF_SAMPLES_AND_REPORT + best.final_validation_seconds + dial.seconds_kept
    if dial.minutes is not None:
        refuse_too_little_time(dial.minutes, spent + after)
    values = chosen_values(best, facts, training.optimizer)
    dropout = model.dropout if "model.dropout" in fixed else values["model.dropout"]
    training, fit = fit_into_memory(
        replace(best.model, dropout=dropout), replace(training, batch_size=best.batch_size), fixed, device
    )
    tokens = best.steps * best.batch_size * best.model.context
    execution, speeds = choose_execution(best.model, fit.rows_at_once, training, device, tokens)
    return Plan(
        minutes=dial.minutes,
        timed=dial.minutes is not None and "training.steps" not in fixed and training.schedule in WITHOUT_TOTAL,
        values=values | memory_values(training) | execution_values(execution),
        reasons=reasons(dial),
        expected=expectation_record(best, facts) | memory_record(fit, device),
        measured=measured_record(execution, [*machine.speeds, *speeds]),
        seconds_after_training=after,
        most_steps=best.most_steps,
        ends_early=best.ends_early and "training.steps" not in fixed,
        law_applies=training.optimizer == LAW_OPTIMIZER,
        seconds_kept=dial.seconds_kept,
    )


def plan_of_given_shape(
    choices: Choices, fixed: frozenset[str], dial: Dial, facts: Facts, device: torch.device, spent: float
) -> Plan:
    """For architectures that have no ladder of shapes and no law of losses: the shape as it is, steps by the dial."""
    began = time.monotonic()
    model, training = choices.config.model, choices.config.training
    if dial.parameters is not None:
        raise UsageError(f"--size chooses among shapes of gpt only; set the sizes of {model.architecture} yourself")
    training, fit = fit_into_memory(model, training, fixed, device)
    model = of_usual_length(model, facts)
    targets_per_step = training.batch_size * model.targets_in_row
    long_enough = (dial.minutes or 0.0) * 60 - spent >= SECONDS_WORTH_COMPILING[device.type]
    asked = float(dial.tokens or 0) or (math.inf if long_enough else 0.0)
    execution, speeds = choose_execution(model, fit.rows_at_once, training, device, asked)
    measured = next((speed for speed in speeds if speed.execution == execution), None)
    speed = measured or measure_step(model, fit.rows_at_once, execution, device, training)
    spent += time.monotonic() - began
    validation_targets = model.validation_passes * facts.validation_targets
    validation_seconds = validation_targets / (3 * speed.tokens_per_second)  # forward only: a third
    after = SECONDS_OF_SAMPLES_AND_REPORT + validation_seconds + dial.seconds_kept
    tokens = float(dial.tokens or 0)
    if dial.minutes is not None:
        refuse_too_little_time(dial.minutes, spent + after)
        tokens = (dial.minutes * 60 - spent - after) * speed.tokens_per_second
    steps = training.steps if "training.steps" in fixed else max(1, round(tokens / targets_per_step))
    return Plan(
        minutes=dial.minutes,
        timed=dial.minutes is not None and "training.steps" not in fixed and training.schedule in WITHOUT_TOTAL,
        values=learning_values(
            model, training.optimizer, steps, validations_for(validation_targets, steps, targets_per_step)
        )
        | memory_values(training)
        | execution_values(execution),
        reasons=reasons(dial),
        expected={
            "training_tokens": steps * targets_per_step,
            "training_seconds": steps * targets_per_step / speed.tokens_per_second,
            "tokens_per_second": speed.tokens_per_second,
            "parameters": parameter_count(model),
        }
        | memory_record(fit, device),
        measured=measured_record(execution, speeds),
        seconds_after_training=after,
        most_steps=sys.maxsize,
        law_applies=False,
        seconds_kept=dial.seconds_kept,
    )


def best_for(situation: Situation, dial: Dial) -> Expectation:
    """The best candidate for what the dial was set by."""
    if dial.minutes is not None:
        return candidate_for_time(LAW, situation, dial)
    return (candidate_for_tokens if dial.tokens is not None else candidate_for_size)(LAW, situation, dial)


def context_for(facts: TextFacts) -> int:
    """256 tokens; less where the text is so short that there would be only a few windows, or by the longest pair."""
    if facts.longest_side:
        return min(LONGEST_SIDE, -(-facts.longest_side // 8) * 8)
    context = 256
    while context > SHORTEST_CONTEXT and context * LEAST_WINDOWS > facts.train_bytes / facts.bytes_per_token:
        context //= 2
    return context


def chosen_values(best: Expectation, facts: TextFacts, optimizer: str) -> dict[str, Any]:
    """The configuration keys that follow from the best candidate."""
    tokens_per_step = best.batch_size * best.model.context
    shape = {
        "model.dropout": dropout_for(best.steps * tokens_per_step / facts.train_tokens),
        "model.width": best.model.width,
        "model.layers": best.model.layers,
        "model.heads": best.model.heads,
        "training.batch_size": best.batch_size,
    }
    validations = validations_for(facts.validation_targets, best.steps, tokens_per_step)
    return shape | learning_values(best.model, optimizer, best.steps, validations)


def validations_for(validation_targets: float, steps: int, targets_per_step: int) -> int:
    """How often the exact loss may be worked out in a run: at least twice, and in a small share of its time."""
    validation_steps = validation_targets / 3 / targets_per_step  # forward only: a third
    affordable = int(SHARE_FOR_VALIDATION * steps / max(validation_steps, 1e-9))
    return max(2, min(VALIDATIONS_IN_A_RUN, affordable))


def learning_values(model: ModelConfig, optimizer: str, steps: int, validations: int) -> dict[str, Any]:
    """The keys that follow from the number of steps and the width."""
    return {
        "training.steps": steps,
        "training.learning_rate": model.rate_factor * learning_rate_for(model.width, optimizer),
        "training.warmup_steps": min(100, max(5, steps // 20)),
        "training.evaluate_every": max(1, steps // validations),
        "training.sample_every": max(1, steps // SAMPLES_IN_A_RUN),
    }


def measured_record(execution: Execution, speeds: list[Speed]) -> dict[str, Any]:
    """For the plan: how steps are carried out, and what was measured to decide it."""
    return {
        "execution": str(execution),
        "precision": execution.precision,
        "threads": execution.threads,
        "speeds": [asdict(speed) | {"precision": speed.precision} for speed in speeds],
    }


def expectation_record(best: Expectation, facts: TextFacts) -> dict[str, float]:
    """For the plan and the report."""
    tokens = best.steps * best.batch_size * best.model.context
    return {
        "validation_bits_per_byte": facts.bits_per_byte(best.loss),
        "validation_loss": best.loss,
        "tokens_per_second": best.tokens_per_second,
        "training_tokens": tokens,
        "training_seconds": tokens / best.tokens_per_second,
        "parameters": parameter_count(best.model),
        "memory_bytes": best.memory_bytes,
    }
