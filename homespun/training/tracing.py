"""What a step keeps until its gradients are there, of any model, without doing the work: configurations in, bytes out.

The forward pass runs on fake tensors, which have shapes and no numbers, and autograd's own hook tells what is kept.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from homespun.models.counting import count
from homespun.models.registry import build_model
from homespun.models.settings import ModelConfig
from homespun.training.execution import Execution, apply_to_model
from homespun.training.footprint import FULL
from homespun.training.losses import Objective
from homespun.training.precision import autocast
from homespun.training.settings import TrainingConfig
from homespun.training.tasks import TASKS


@dataclass(frozen=True)
class TracedFootprint:
    """Of any model (``homespun.training.footprint.Footprint``)."""

    model: ModelConfig

    def kept(self, training: TrainingConfig) -> list[float]:
        if not training.recompute:
            return list(traced(self.model, way(training, recomputed=False)))
        return [*traced(self.model, way(training, recomputed=True)), self.recomputed(training)]

    def recomputed(self, training: TrainingConfig) -> float:
        """Its share of what all blocks would keep."""
        everything = sum(traced(self.model, way(training, recomputed=False)))
        return (everything - sum(traced(self.model, way(training, recomputed=True)))) / self.model.layers

    def widest(self, training: TrainingConfig) -> float:
        """At most what training keeps of a block."""
        return sum(traced(self.model, way(training, recomputed=False))) / FULL / self.model.layers

    def largest_stack(self) -> tuple[int, tuple[int, int]]:
        counted = count(self.model)
        return counted.largest_stack, counted.stacked_shape


def way(training: TrainingConfig, recomputed: bool) -> Execution:
    """How steps are carried out; what is still open counts as what most runs choose."""
    precision = "bf16" if training.precision == "auto" else training.precision
    attention = "fused" if training.attention == "auto" else training.attention
    return Execution(precision, attention, recomputed=recomputed)


@cache
def traced(config: ModelConfig, execution: Execution) -> tuple[float, ...]:
    """Bytes for each position: what one more row adds to each tensor.

    The gradient of the head, which the loss keeps, does not grow with the rows and is counted with the loss. A single
    row says too little: what would be copied for several may be a view of it.
    """
    two, three = (traced_storages(config, execution, rows) for rows in (2, 3))
    positions = config.positions_in_row
    return tuple((larger - smaller) / positions for smaller, larger in zip(two, three, strict=True) if larger > smaller)


def traced_storages(config: ModelConfig, execution: Execution, rows: int) -> list[int]:
    """Bytes of every tensor that the forward pass of ``rows`` rows keeps, weights left out."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, so that no other storage gets its number
        return tensor

    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        model = build_model(config)
        apply_to_model(model, execution)
        task = TASKS[config.task]
        batch = task.example(config, rows)
        weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        with saved_tensors_hooks(keep, lambda tensor: tensor), autocast(torch.device("cpu"), execution.precision):
            Objective(model, task)(batch)
        return [storage.nbytes() for number, storage in kept.items() if number not in weights]
