"""The plan of a run that is trained as configured: only how a step is carried out is chosen, where it is open."""

from typing import Any

import torch

from homespun.models.arithmetic import parameter_count
from homespun.models.settings import GPTConfig, ModelConfig
from homespun.pipeline.configuration import Choices
from homespun.pipeline.planning.facts_of_data import Facts, of_usual_length
from homespun.pipeline.planning.memory import fit_as_executed, fit_into_memory, memory_record, memory_values
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.planning.reasons import EXECUTION_REASONS
from homespun.training.budget import LAW, LAW_OPTIMIZER, TextFacts, expected_loss
from homespun.training.execution import Execution
from homespun.training.machine import choose_execution
from homespun.training.settings import TrainingConfig


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


def has_law(model: ModelConfig) -> bool:
    """The ladder of shapes and the law of losses are those of decoders without experts."""
    return isinstance(model, GPTConfig) and not model.experts
