"""What a finetuning changed, as low-rank differences of a model's own matrices (LoRA, Hu et al. 2021, section 4.1).

In: the tensors of a model and an adapter. Out: the tensors with the differences added. Whoever trains an adapter, or
reads one that another program wrote (``homespun.interchange.huggingface.peft``), speaks of it in these words.

Beside differences an adapter may have whole rows, of tokens that no difference elsewhere could teach: the control
tokens of a conversation, which a base may even lack.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import nn

from homespun.common.errors import HomespunError
from homespun.common.progress import Advance, ignore
from homespun.layers.learned_rows import LearnedRows
from homespun.layers.lora import LoRALinear

EMBEDDING, HEAD, HEAD_BIAS = "token_embedding.weight", "head.weight", "head.bias"  # a row for each token


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
class Rows:
    """``values`` (n, C) take the ``places`` (n) of rows of a table (V, C), or follow them: from V on tokens are new."""

    tensor: str
    places: tuple[int, ...]
    values: torch.Tensor

    def in_order(self) -> "Rows":
        """The same with rising places."""
        order = sorted(range(len(self.places)), key=self.places.__getitem__)
        return Rows(self.tensor, tuple(self.places[one] for one in order), self.values[order])


@dataclass(frozen=True, eq=False)
class Adapter:
    """All that one finetuning changed. Two differences of the same rows add up; whole rows stand for all else."""

    differences: tuple[Difference, ...]
    rows: tuple[Rows, ...] = ()

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        differences = sum(one.up.numel() + one.down.numel() for one in self.differences)
        return differences + sum(one.values.numel() for one in self.rows)


def adapter_of(model: nn.Module) -> Adapter:
    """What the layers of a model with low-rank differences have learned (``homespun.layers.lora``), and which rows.

    Tensors have the names that they have in ``model``: of a classifier, give its body. Of tied tables the embedding's
    name stands for both.
    """
    found, rows = [], {}
    for name, layer in model.named_modules():
        if isinstance(layer, LearnedRows) and layer.rows not in rows:
            values = layer.rows.detach()
            rows[layer.rows] = Rows(f"{name}.weight", tuple(layer.tokens.tolist()), values).in_order()
        if isinstance(layer, LoRALinear):
            ups, downs = layer.up.detach().split(layer.parts), layer.down.detach().split(layer.rank)
            first_rows = accumulate(layer.parts, initial=0)
            for first_row, up, down in zip(first_rows, ups, downs, strict=False):
                found.append(Difference(f"{name}.weight", first_row, up, down, layer.scale))
    return Adapter(tuple(found), tuple(rows.values()))


def check_adapter(adapter: Adapter, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many tokens a model of these shapes has with the adapter; ``HomespunError`` for one that does not fit it."""
    for difference in adapter.differences:
        check_fit(difference, shapes)
    new: dict[str, set[int]] = {name: set() for name in (EMBEDDING, HEAD) if name in shapes}
    known = shapes[EMBEDDING][0] if EMBEDDING in shapes else 0
    for rows in adapter.rows:
        shape, width = shapes.get(rows.tensor, ()), rows.values.shape[-1]
        if rows.tensor not in new or shape[1:] != (width,):
            raise HomespunError(
                f"the adapter has rows of {width} numbers for {rows.tensor}; the model's are {shape[1:]}"
            )
        if len(set(rows.places)) < len(rows.places) or min(rows.places) < 0:
            raise HomespunError(f"the adapter has rows of {rows.tensor} for tokens that are there twice, or negative")
        new[rows.tensor] |= {place for place in rows.places if place >= known}
    count = len(set().union(*new.values()))
    if any(places != set(range(known, known + count)) for places in new.values()):
        raise HomespunError(
            f"the adapter has rows for tokens that the model lacks ({known:,} and on), but not for each of them, in "
            f"{' and '.join(new)}; it is for another base"
        )
    if count and HEAD_BIAS in shapes:
        raise HomespunError("the adapter has new tokens; this model has a bias for each, which an adapter has not")
    return known + count


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
    """The tensors with every difference added, computed in float32, and its rows in place; those that change are new.

    Tables of an adapter with new tokens become longer. ``HomespunError`` for an adapter of another model, and for sums
    that are not finite. ``advance`` hears of every difference.
    """
    merged = dict(tensors)
    tokens = check_adapter(adapter, {name: tuple(value.shape) for name, value in tensors.items()})
    for difference in adapter.differences:
        name = difference.tensor
        if merged[name] is tensors[name]:
            merged[name] = tensors[name].clone()
        rows = merged[name][difference.first_row : difference.end_row]  # (R, C)
        rows.copy_(rows.float() + difference.matrix())
        if not bool(rows.isfinite().all()):
            raise HomespunError(f"{name} would have numbers that are not finite; the adapter is damaged")
        advance(1)
    for one in adapter.rows:
        table = merged[one.tensor]
        longer = torch.cat([table, table.new_zeros(tokens - len(table), table.shape[1])])  # (V, C)
        longer[list(one.places)] = one.values.to(table)
        merged[one.tensor] = longer
    return merged
