"""What a step keeps until its gradients are there, of any model, without doing the work: configurations in, bytes out.

The forward pass runs on fake tensors, which have shapes and no numbers, and autograd's own hook tells what is kept. Of
decoders there are closed forms (``homespun.training.memory``), which need no torch; this is for all others.
"""

from dataclasses import replace
from functools import cache

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from homespun.models.registry import build_model
from homespun.models.settings import ModelConfig
from homespun.training.execution import Execution, apply_to_model
from homespun.training.losses import Objective
from homespun.training.precision import autocast
from homespun.training.settings import TrainingConfig
from homespun.training.tasks import TASKS


def kept_by_step(model: ModelConfig, training: TrainingConfig) -> list[float]:
    """Bytes for each token of every tensor, other than weights, that the forward pass keeps.

    Of a recomputed model the activations of one block, its share of all, are in it: they are there for a moment.
    """
    precision = "bf16" if training.precision == "auto" else training.precision
    attention = "fused" if training.attention == "auto" else training.attention
    way = Execution(precision, attention, recomputed=False)
    plain = traced(model, way)
    if not training.recompute:
        return list(plain)
    kept = traced(model, replace(way, recomputed=True))
    return [*kept, (sum(plain) - sum(kept)) / model.layers]


@cache
def traced(config: ModelConfig, execution: Execution) -> tuple[float, ...]:
    """Bytes for each token, with one row at once."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, so that no other storage gets its number
        return tensor

    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        model = build_model(config)
        apply_to_model(model, execution)
        task = TASKS[config.task]
        batch = task.example(config, 1)
        weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        with saved_tensors_hooks(keep, lambda tensor: tensor), autocast(torch.device("cpu"), execution.precision):
            Objective(model, task)(batch)
        tokens = config.context
        return tuple(storage.nbytes() / tokens for number, storage in kept.items() if number not in weights)
