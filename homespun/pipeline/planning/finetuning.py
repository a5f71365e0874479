"""Plans of finetunings: their steps follow from the number of texts, at most from the minutes of a dial."""

import time
from dataclasses import asdict, replace

import torch

from homespun.pipeline.configuration import Choices
from homespun.pipeline.planning.configured import configured_plan
from homespun.pipeline.planning.facts_of_data import DialogueFacts, LabelledFacts
from homespun.pipeline.planning.plan import Plan, chosen_before, fixed_keys, seconds_for_training, whole_plan
from homespun.pipeline.planning.pretraining import SECONDS_OF_SAMPLES_AND_REPORT
from homespun.pipeline.planning.reasons import CONTINUED_REASONS, DIALOGUE_REASONS, LABELLED_REASONS
from homespun.training.budget import TextFacts
from homespun.training.dial import Dial
from homespun.training.execution import Execution
from homespun.training.machine import measure_step
from homespun.training.schedule import WITHOUT_TOTAL

EXAMINATION = 75_000_000  # scikit-learn's code and intervals, at the end of a run that sorts texts


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
    fitting = max(1, int(seconds_for_training(seconds) * speed.tokens_per_second / targets_per_step))
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
