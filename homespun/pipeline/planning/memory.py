"""How a run fits into the memory that is free: rows at once, recomputed or not, and what it needs then."""

from dataclasses import replace
from typing import Any

import torch

from homespun.models.settings import ModelConfig
from homespun.pipeline.environment import free_memory_bytes, peak_memory_bytes
from homespun.training.estimate import shares_by_layout
from homespun.training.execution import Execution
from homespun.training.memory import PROCESS, Fit, fit_memory, needed_bytes
from homespun.training.settings import TrainingConfig
from homespun.training.world import world_size_asked

PROCESS_OF_RUN = PROCESS + 90_000_000  # with the tokenizer's machine code, texts and mapped tokens
SHARE_OF_FREE_MEMORY = 0.85  # estimates of memory are right to 15 % (benchmarks/memory.py)


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
