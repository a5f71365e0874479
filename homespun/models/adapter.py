"""What a finetuning changed, as low-rank differences of a model's own matrices (LoRA, Hu et al. 2021, section 4.1).

In: the tensors of a model and an adapter. Out: the tensors with the differences added. Whoever trains an adapter, or
reads one that another program wrote (``homespun.interchange.huggingface.peft``), speaks of it in these words.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import nn

from homespun.common.errors import HomespunError
from homespun.common.progress import Advance, ignore
from homespun.layers.lora import LoRALinear


@dataclass(frozen=True, eq=False)
class Difference:
    """What is added to R rows of one matrix (…, C), from ``first_row`` on: ``scale`` x ``up`` (R, r) @ ``down`` (r, C).

    A matrix in which several are fused, such as queries, keys and values, may have one difference for each of them.
    The paper's B is ``up``, its A is ``down``, its alpha / r is ``scale``.
    """

    tensor: str
    first_row: int
    up: torch.Tensor
    down: torch.Tensor
    scale: float

    @property
    def rank(self) -> int:
        """The r of the paper."""
        return len(self.down)

    @property
    def end_row(self) -> int:
        """The first row behind those that change."""
        return self.first_row + len(self.up)

    def matrix(self) -> torch.Tensor:
        """The difference itself, (R, C) in float32."""
        return self.scale * (self.up.float() @ self.down.float())


@dataclass(frozen=True, eq=False)
class Adapter:
    """All differences of one finetuning. Two of the same rows add up."""

    differences: tuple[Difference, ...]

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(one.up.numel() + one.down.numel() for one in self.differences)


def adapter_of(model: nn.Module) -> Adapter:
    """What the layers of a model with low-rank differences have learned (``homespun.layers.lora``).

    Tensors have the names that they have in ``model``: of a classifier, give its body.
    """
    found = []
    for name, layer in model.named_modules():
        if isinstance(layer, LoRALinear):
            ups, downs = layer.up.detach().split(layer.parts), layer.down.detach().split(layer.rank)
            first_rows = accumulate(layer.parts, initial=0)
            for first_row, up, down in zip(first_rows, ups, downs, strict=False):
                found.append(Difference(f"{name}.weight", first_row, up, down, layer.scale))
    return Adapter(tuple(found))


def check_fit(difference: Difference, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """``HomespunError`` for a difference of a matrix that the model does not have, or has in another shape."""
    tensor, shape = difference.tensor, shapes.get(difference.tensor, ())
    rows, columns = f"{difference.first_row}:{difference.end_row}", difference.down.shape[1]
    if len(shape) != 2:
        raise HomespunError(f"the adapter changes {tensor}, which is no matrix of this model")
    if difference.up.shape[1] != difference.rank:
        raise HomespunError(
            f"the adapter's two matrices for {tensor} have the ranks {difference.up.shape[1]} and {difference.rank}"
        )
    if not math.isfinite(difference.scale):
        raise HomespunError(f"the adapter's scale for {tensor} is {difference.scale}; the finetuning diverged")
    if difference.first_row < 0 or difference.end_row > shape[0] or columns != shape[1]:
        raise HomespunError(f"the adapter changes {tensor}[{rows}] of {columns} columns; the model's has shape {shape}")


def merge(tensors: Mapping[str, torch.Tensor], adapter: Adapter, advance: Advance = ignore) -> dict[str, torch.Tensor]:
    """The tensors with every difference added, computed in float32; those that change are new ones.

    ``HomespunError`` for an adapter of another model, and for sums that are not finite. ``advance`` hears of every
    difference.
    """
    merged = dict(tensors)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    for difference in adapter.differences:
        name = difference.tensor
        check_fit(difference, shapes)
        if merged[name] is tensors[name]:
            merged[name] = tensors[name].clone()
        rows = merged[name][difference.first_row : difference.end_row]  # (R, C)
        rows.copy_(rows.float() + difference.matrix())
        if not bool(rows.isfinite().all()):
            raise HomespunError(f"{name} would have numbers that are not finite; the adapter is damaged")
        advance(1)
    return merged
