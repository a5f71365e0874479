"""From minutes to a plan: the choices that a run needs, the reason for each, and what to expect.

In: what nobody has set (``Choices``), and the facts of the data (``homespun.pipeline.facts_of_data``). The machine is
measured, and model, batch and steps are chosen (``homespun.training.budget``). How much text is read, and the
vocabulary, were chosen before (``homespun.pipeline.choose_text``).
"""

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from homespun.common.configuration import flatten
from homespun.common.errors import HomespunError, UsageError
from homespun.corpus.prepare import CorpusManifest
from homespun.models.arithmetic import parameter_count
from homespun.models.settings import GPTConfig, ModelConfig
from homespun.pipeline.choose_text import VALIDATION_BYTES
from homespun.pipeline.configuration import Choices
from homespun.pipeline.environment import free_memory_bytes, peak_memory_bytes
from homespun.pipeline.facts_of_data import (
    DialogueFacts,
    Facts,
    ImageFacts,
    LabelledFacts,
    of_usual_length,
    text_facts,
    with_sides,
)
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.budget import (
    LAW,
    LAW_OPTIMIZER,
    Expectation,
    Situation,
    TextFacts,
    candidate_for_size,
    candidate_for_time,
    candidate_for_tokens,
    dropout_for,
    expected_loss,
    learning_rate_for,
    measure_machine,
)
from homespun.training.device import available_cores
from homespun.training.dial import Dial
from homespun.training.estimate import shares_by_layout
from homespun.training.execution import Execution
from homespun.training.machine import SECONDS_WORTH_COMPILING, Speed, choose_execution, measure_step
from homespun.training.memory import PROCESS, Fit, fit_memory, needed_bytes
from homespun.training.schedule import WITHOUT_TOTAL
from homespun.training.settings import TrainingConfig
from homespun.training.world import world_size_asked

VALIDATIONS_IN_A_RUN = 12
SHARE_FOR_VALIDATION = 0.06
SAMPLES_IN_A_RUN = 4
LEAST_TRAINING_SECONDS = 5.0
SECONDS_OF_SAMPLES_AND_REPORT = 4.0
ENCODED_BYTES_PER_SECOND = 4e6
MEASURED_TOKENS = 2048
SHORTEST_CONTEXT = 32
LEAST_WINDOWS = 64
LONGEST_SIDE = 512  # tokens: longer pairs are left out, unless the user gives them a context
# With all of these given there is nothing left to measure for.
MEASURED_FOR = {"model.width", "model.layers", "training.batch_size", "training.steps"}
EXECUTION_REASONS = {
    "training.precision": "the fastest here, measured on this model's steps",
    "training.attention": "the fastest kernel here, measured",
    "training.compile": "on where it pays within this run, measured",
    "training.threads": "as many as are fastest, measured",
    "training.micro_batch_size": "what fits into memory at once",
    "training.recompute": "without it not even one row would fit into memory",
}
IMAGE_REASONS = dict.fromkeys(
    ("model.image_size", "model.channels", "model.classes", "model.labels"), "what the images are"
)
LABELLED_REASONS = {
    "model.labels": "what the table has",
    "model.class_weights": "rare classes weigh as much as frequent ones",
    "model.summary": "surer than one token, above all of long texts",
    "model.length": "the longest text, if need be in several windows",
    "training.steps": "labelled.epochs times the texts to train on",
    "training.warmup_steps": "a tenth of the steps",
    "training.evaluate_every": "after each reading of the texts",
    "training.sample_every": "only at the end",
    "training.optimizer": "a finetuning's moves are small",
    "training.learning_rate": "by what of the base is trained, and its width",
    "training.batch_size": "a few texts: many small steps",
}
DIALOGUE_REASONS = LABELLED_REASONS | {
    "model.packed": "the base can keep the conversations of a row apart",
    "model.length": "the longest of them, as far as the base reads",
    "model.learned_tokens": "the base has never read these",
    "training.steps": "as often as epochs say",
    "training.evaluate_every": "twice for each reading of them",
    "training.sample_every": "twice for each reading of them",
    "training.batch_size": "a few of them: many small steps",
}
CONTINUED_REASONS = LABELLED_REASONS | {
    "training.steps": "replay.epochs times the field's texts",
    "training.evaluate_every": "six times",
    "training.sample_every": "in the middle and at the end",
}
PROCESS_OF_RUN = PROCESS + 90_000_000  # with the tokenizer's machine code, texts and mapped tokens
EXAMINATION = 75_000_000  # scikit-learn's code and intervals, at the end of a run that sorts texts
SHARE_OF_FREE_MEMORY = 0.85  # estimates of memory are right to 15 % (benchmarks/memory.py)


@dataclass(frozen=True)
class Plan:
    """What was decided (``values``), why, what is expected, and what was measured to decide it."""

    minutes: float | None
    timed: bool
    values: dict[str, Any]
    reasons: dict[str, str]
    expected: dict[str, float]
    measured: dict[str, Any]
    seconds_after_training: float
    most_steps: int = 0
    ends_early: bool = False
    law_applies: bool = True  # the law of losses is fitted on runs with this optimizer
    unit: str = "tokens"  # what is counted: one for each target
    seconds_kept: float = 0.0  # of those after training: for the assistant that the model is to become
    origins: dict[str, str] = field(default_factory=dict)

    def training_seconds_left(self, spent: float) -> float:
        """Seconds for training when ``spent`` are gone."""
        assert self.minutes is not None
        return max(LEAST_TRAINING_SECONDS, self.minutes * 60 - spent - self.seconds_after_training)

    def record(self) -> dict[str, Any]:
        """For ``plan.json``."""
        choices = [{"key": key, "value": value, "why": self.reasons.get(key, "")} for key, value in self.values.items()]
        return asdict(self) | {"choices": choices}

    @staticmethod
    def from_record(record: dict[str, Any]) -> "Plan":
        """What ``record`` wrote."""
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in record["values"].items()}
        return Plan(**{key: value for key, value in record.items() if key != "choices"} | {"values": values})


def make_plan(
    choices: Choices,
    dial: Dial | None,
    corpus: CorpusManifest,
    tokenizer: Tokenizer,
    texts: Callable[[str], Iterable[str]],
    device: torch.device,
    spent: float,
    pairs: Callable[[str], Iterable[tuple[str, str]]] | None = None,
) -> Plan:
    """Choose everything that is still open. ``spent``: seconds of the run so far; ``texts(split)`` iterates.

    ``dial`` None: the run is trained as configured. ``pairs``: where the text is pairs, the same in two parts.
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
        make = measured_plan if has_law(choices.config.model) else plan_of_given_shape
        plan = make(choices, fixed, dial, facts, device, spent)
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


def make_labelled_plan(choices: Choices, facts: LabelledFacts, device: torch.device) -> Plan:
    """The same for a finetuning on labelled texts: its steps follow from the number of texts, nothing from a dial."""
    values, fixed = chosen_before(choices), fixed_keys(choices)
    plan = configured_plan(choices, fixed, facts, device)
    memory = plan.expected["memory_bytes"] + EXAMINATION
    plan = replace(
        plan,
        unit="texts",
        reasons=plan.reasons | LABELLED_REASONS,
        expected=plan.expected | {"memory_bytes": memory},
    )
    return whole_plan(plan, choices, fixed, values)


def make_dialogue_plan(
    choices: Choices, facts: DialogueFacts, device: torch.device, dial: Dial | None = None, spent: float = 0.0
) -> Plan:
    """The same for conversations and preferences; with the minutes of a dial, no more steps than fit into them."""
    began = time.monotonic()
    values, fixed = chosen_before(choices), fixed_keys(choices)
    plan = configured_plan(choices, fixed, facts, device)
    plan = replace(plan, reasons=plan.reasons | DIALOGUE_REASONS)
    if dial is not None and dial.minutes is not None:
        plan = within_minutes(plan, choices, fixed, facts, dial.minutes, device, spent + time.monotonic() - began)
    return whole_plan(plan, choices, fixed, values)


def within_minutes(
    plan: Plan,
    choices: Choices,
    fixed: frozenset[str],
    facts: DialogueFacts,
    minutes: float,
    device: torch.device,
    spent: float,
) -> Plan:
    """A finetuning's plan with at most as many steps as there is time for, by a measured step."""
    began = time.monotonic()
    model, training = choices.config.model, choices.with_values(plan.values, "plan").config.training
    speed = measure_step(
        model, training.micro_batch_size or training.batch_size, Execution.of(training), device, training
    )
    after = SECONDS_OF_SAMPLES_AND_REPORT + facts.seconds_of_answers
    seconds = minutes * 60 - spent - (time.monotonic() - began) - after
    targets_per_step = training.batch_size * model.targets_in_row
    fitting = max(1, int(max(LEAST_TRAINING_SECONDS, seconds) * speed.tokens_per_second / targets_per_step))
    steps = training.steps if "training.steps" in fixed else min(training.steps, fitting)
    return replace(
        plan,
        minutes=minutes,
        timed="training.steps" not in fixed and training.schedule in WITHOUT_TOTAL,
        values=plan.values | {"training.steps": steps, "training.warmup_steps": steps // 10},
        reasons=plan.reasons | {"training.steps": "what fits into the time, at most as often as epochs say"},
        expected=plan.expected
        | {
            "training_tokens": steps * targets_per_step,
            "training_seconds": steps * targets_per_step / speed.tokens_per_second,
            "tokens_per_second": speed.tokens_per_second,
        },
        measured=plan.measured | {"speeds": [asdict(speed) | {"precision": speed.precision}]},
        seconds_after_training=after,
        most_steps=training.steps,
    )


def make_continued_plan(choices: Choices, facts: TextFacts, device: torch.device) -> Plan:
    """The same for a continued pretraining."""
    values, fixed = chosen_before(choices), fixed_keys(choices)
    plan = configured_plan(choices, fixed, facts, device)
    plan = replace(
        plan,
        reasons=plan.reasons | CONTINUED_REASONS,
        measured=plan.measured | {"bytes_per_token": facts.bytes_per_token, "unigram_loss": facts.unigram_loss},
    )
    return whole_plan(plan, choices, fixed, values)


def has_law(model: ModelConfig) -> bool:
    """The ladder of shapes and the law of losses are those of decoders without experts."""
    return isinstance(model, GPTConfig) and not model.experts


def fixed_keys(choices: Choices) -> frozenset[str]:
    """The keys that the user has set."""
    return frozenset(key for key, origin in choices.origins.items() if origin not in ("default", "plan"))


def chosen_before(choices: Choices) -> dict[str, Any]:
    """What the stages before the plan have chosen."""
    return {key: value for key, value in flatten(choices.config).items() if choices.origins.get(key) == "plan"}


def whole_plan(plan: Plan, choices: Choices, fixed: frozenset[str], values: dict[str, Any]) -> Plan:
    """With the ``values`` chosen before, a reason for each, and where every value comes from."""
    values = {key: value for key, value in (values | plan.values).items() if key not in fixed}
    return replace(
        plan,
        values=values,
        reasons={key: reason for key, reason in plan.reasons.items() if key in values},
        origins=choices.origins | dict.fromkeys(values, "plan"),
    )


def measured_plan(
    choices: Choices, fixed: frozenset[str], dial: Dial, facts: TextFacts, device: torch.device, spent: float
) -> Plan:
    """The best shape for the dial, by measuring this machine."""
    began = time.monotonic()
    model, training = choices.config.model, choices.config.training
    assert isinstance(model, GPTConfig)  # the ladder of shapes and the law are decoders'
    threads = training.threads or available_cores()
    machine = measure_machine(model, max(1, MEASURED_TOKENS // model.context), training, threads, device)
    spent += time.monotonic() - began
    seconds = (dial.minutes or 0.0) * 60 - spent - SECONDS_OF_SAMPLES_AND_REPORT - dial.seconds_kept
    memory = PROCESS + int(SHARE_OF_FREE_MEMORY * free_memory_bytes(device))
    situation = Situation(facts, model, training, fixed, machine, seconds, memory)
    best = CANDIDATES[asked_for(dial)](LAW, situation, dial)
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


CANDIDATES = {"time": candidate_for_time, "tokens": candidate_for_tokens, "size": candidate_for_size}


def asked_for(dial: Dial) -> str:
    """Which of the three the dial was set by."""
    if dial.minutes is not None:
        return "time"
    return "tokens" if dial.tokens is not None else "size"


def configured_plan(choices: Choices, fixed: frozenset[str], facts: Facts, device: torch.device) -> Plan:
    """For a run that is trained as configured: only how a step is carried out is chosen, where nobody has named it."""
    model, training = choices.config.model, choices.config.training
    training, fit = fit_into_memory(model, training, fixed, device)
    whole, model = model, of_usual_length(model, facts)
    tokens = training.steps * training.batch_size * model.targets_in_row
    execution = configured_execution(training)
    if execution is None:
        execution, _ = choose_execution(model, fit.rows_at_once, training, device, tokens)
    fit = fit_as_executed(whole, training, fit, execution, device)
    expected: dict[str, float] = {"training_tokens": tokens, "parameters": parameter_count(model)}
    if isinstance(model, GPTConfig) and has_law(model) and isinstance(facts, TextFacts):
        loss = expected_loss(LAW, facts, model, tokens)
        expected |= {"validation_bits_per_byte": facts.bits_per_byte(loss), "validation_loss": loss}
    return Plan(
        minutes=None,
        timed=False,
        values=memory_values(training) | execution_values(execution),
        reasons=EXECUTION_REASONS,
        expected=expected | memory_record(fit, device),
        measured={"execution": str(execution), "precision": execution.precision, "threads": execution.threads},
        seconds_after_training=0.0,
        law_applies=training.optimizer == LAW_OPTIMIZER,
    )


def fit_into_memory(
    model: ModelConfig, training: TrainingConfig, fixed: frozenset[str], device: torch.device
) -> tuple[TrainingConfig, Fit]:
    """The training in parts that fit the free memory, and what it needs then; ``HomespunError`` if none fits."""
    processes = world_size_asked()
    shares, parts = shares_by_layout(training, processes)[training.parallel], training.parts_of_block(processes)
    rows = max(1, training.batch_size * parts // processes)
    available = SHARE_OF_FREE_MEMORY * free_memory_bytes(device)
    gpu = device.type == "cuda"
    fit = fit_memory(model, training, rows, available, fixed, shares, gpu, parts)
    micro_batch_size = 0 if fit.rows_at_once == rows else fit.rows_at_once
    training = replace(training, micro_batch_size=micro_batch_size, recompute=fit.recompute)
    if training.attention == "auto" and "explicit" in model.kernels:
        explicit = replace(training, attention="explicit")
        if needed_bytes(model, explicit, rows, fit.rows_at_once, shares, gpu, parts) > available:
            training = replace(training, attention="fused")
    return training, fit


def fit_as_executed(
    model: ModelConfig, training: TrainingConfig, fit: Fit, execution: Execution, device: torch.device
) -> Fit:
    """The same with what is needed when steps are carried out so; before, the way that needs most was counted."""
    processes = world_size_asked()
    shares, parts = shares_by_layout(training, processes)[training.parallel], training.parts_of_block(processes)
    rows = max(1, training.batch_size * parts // processes)
    training = replace(training, precision=execution.precision, attention=execution.attention)  # pyrefly: ignore
    gpu = device.type == "cuda"
    return replace(fit, needed=needed_bytes(model, training, rows, fit.rows_at_once, shares, gpu, parts))


def memory_values(training: TrainingConfig) -> dict[str, Any]:
    """The keys that make a step fit, as far as they are needed for it."""
    values = {"training.micro_batch_size": training.micro_batch_size, "training.recompute": training.recompute}
    return {key: value for key, value in values.items() if value}


def memory_record(fit: Fit, device: torch.device) -> dict[str, float]:
    """What a run will hold, and what it may. Measuring ran in this process too, and what it once held counts."""
    return {
        "memory_bytes": max(PROCESS_OF_RUN + fit.needed, peak_memory_bytes()),
        "memory_bytes_free": PROCESS_OF_RUN + free_memory_bytes(device),
    }


def configured_execution(training: TrainingConfig) -> Execution | None:
    """As configured, if that leaves nothing open."""
    if "auto" in (training.precision, training.attention, training.compile) or not training.threads:
        return None
    return Execution.of(training)


def execution_values(execution: Execution) -> dict[str, Any]:
    """The configuration keys that stand for an execution."""
    return {
        "training.precision": execution.precision,
        "training.attention": execution.attention,
        "training.compile": "on" if execution.compiled else "off",
        "training.threads": execution.threads,
    }


def refuse_too_little_time(minutes: float, other_seconds: float) -> None:
    """A run that cannot train is not begun; ``other_seconds`` go to everything else."""
    if minutes * 60 - other_seconds < LEAST_TRAINING_SECONDS:
        enough = math.ceil((other_seconds + 4 * LEAST_TRAINING_SECONDS) / 6) / 10
        raise HomespunError(
            f"--minutes {minutes:g} leaves no time to train: reading, measuring and the report take "
            f"{other_seconds:.0f} seconds here; ask for --minutes {enough:.1f} or more"
        )


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


def reasons(dial: Dial) -> dict[str, str]:
    """Why each key has its value, in a few words."""
    lowest = "lowest expected loss for the time that this takes at this machine's measured speed"
    if dial.minutes is not None:
        lowest = f"lowest expected loss in {dial.minutes:g} minutes at this machine's measured speed"
    if dial.parameters is not None:
        lowest = f"the size of the ladder next to {dial.parameters:,} parameters"
    return {
        "corpus.maximum_bytes": "what can be read in the time",
        "corpus.validation_fraction": f"about {VALIDATION_BYTES / 1000:,.0f} kB, at most a tenth",
        "tokenizer.vocabulary_size": "by the amount of text and of time",
        "model.vocabulary_size": "what the tokenizer learned",
        "model.width": lowest,
        "model.layers": lowest,
        "model.heads": "heads of 64 channels",
        "model.dropout": "against learning by heart, where the text is read many times",
        "training.batch_size": "grows with the length of the run",
        "training.steps": "what fits into the time; adjusted while the learning rate is constant",
        "training.learning_rate": "follows the width",
    } | EXECUTION_REASONS


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


def plan_lines(plan: Plan) -> list[str]:
    """The plan for people."""
    expected = plan.expected
    time_and_speed = ""
    if "training_seconds" in expected:
        seconds, speed = expected["training_seconds"], expected["tokens_per_second"]
        time_and_speed = f" in {seconds:.0f} seconds, {speed:,.0f} {plan.unit}/s"
    short = "warning: more memory than is free now"
    other = "" if plan.law_applies else "  (learned from runs with Muon: AdamW ends higher)"
    bits = expected.get("validation_bits_per_byte")
    early = "the text is short: more passes would only teach it by heart, so this will take less than the time asked"
    return [
        "plan:" if plan.minutes is None else f"plan for {plan.minutes:g} minutes:",
        f"  model      {expected['parameters']:,.0f} parameters, {expected['memory_bytes'] / 1e9:.2f} GB of memory",
        f"  training   {expected['training_tokens']:,.0f} {plan.unit}{time_and_speed}",
        *([f"  expected   {bits:.2f} bits per byte of text it has not seen{other}"] if bits is not None else []),
        *([f"  {early}"] if plan.ends_early else []),
        *([f"  afterwards {plan.seconds_kept:.0f} seconds, to learn to answer"] if plan.seconds_kept else []),
        *([f"  {short}"] if expected["memory_bytes"] > expected.get("memory_bytes_free", math.inf) else []),
        *(f"  {key:<26} {value!s:<10} {plan.reasons.get(key, '')}".rstrip() for key, value in plan.values.items()),
    ]
