"""LoRA (Hu et al. 2021, section 4.1): a linear layer whose weights stay, and a low-rank difference that learns.

In: activations (…, C). Out: (…, R), those of the layer plus alpha / r times B A x; A is (r, C), B is (R, r) and begins
at zero, so that at first nothing has changed. ``merge`` adds the difference to the weights: one linear layer again. The
layer may be a plain one, or one whose matrix is held in few bits (QLoRA, ``homespun.layers.quantized``).

Where several matrices are stored as one (queries, keys and values), each of these parts has a difference of its own, as
if they were apart.
"""

from typing import Any

import torch
from torch import nn

from homespun.layers.attention import AttentionLayer
from homespun.layers.linears import linears
from homespun.layers.quantized import QuantizedLinear, QuantizedMatrix, plain_linear
from homespun.layers.rwkv import TimeMixing


class LoRALinear(nn.Module):
    """``weight`` (R, C) and ``bias`` as before, and ``down`` (P r, C) and ``up`` (R, r) for P parts of the rows.

    The paper's A is ``down``, its B is ``up``.
    """

    weight: Any  # an nn.Parameter; what else a subclass says

    def __init__(
        self, weight: Any, bias: nn.Parameter | None, parts: tuple[int, ...], rank: int, scale: float, dropout: float
    ) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self.parts, self.rank, self.scale = parts, rank, scale
        self.dropout = nn.Dropout(dropout)
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.empty(len(parts) * rank, columns, device=weight.device))
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))
        self.matrices = {"down": (rank,) * len(parts), "up": parts}
        nn.init.uniform_(self.down, -(columns**-0.5), columns**-0.5)  # as in the authors' own program

    @classmethod
    def from_base(
        cls, base: Any, rank: int, alpha: float, dropout: float = 0.0, parts: tuple[int, ...] = ()
    ) -> "LoRALinear":
        """Around a layer, whose own parameters are held still. ``parts``: rows of the matrices that it is fused of."""
        base.requires_grad_(False)
        return cls(base.weight, base.bias, parts or (base.weight.shape[0],), rank, alpha / rank, dropout)

    def held(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer computes without the difference."""
        return nn.functional.linear(x, self.weight, self.bias)

    def matrix(self) -> torch.Tensor:
        """That which the layer multiplies by without the difference, (R, C)."""
        return self.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Scaled while it is narrow, and added in place: wide tensors that come and go beside those that a step keeps
        # leave holes in the heap (homespun.training.memory).
        narrow = self.scale * nn.functional.linear(self.dropout(x), self.down)  # (…, P r)
        changes = [
            nn.functional.linear(part, up)
            for part, up in zip(narrow.split(self.rank, dim=-1), self.up.split(self.parts), strict=True)
        ]
        change = torch.cat(changes, dim=-1) if len(changes) > 1 else changes[0]
        return change.add_(self.held(x))

    @torch.no_grad()
    def difference(self) -> torch.Tensor:
        """What has been learned, as a matrix (R, C)."""
        pairs = zip(self.up.split(self.parts), self.down.split(self.rank), strict=True)
        return self.scale * torch.cat([up @ down for up, down in pairs])

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """A plain layer that computes the same; this one stays as it is."""
        return plain_linear(self.matrix() + self.difference(), self.bias)


class LoRAQuantizedLinear(LoRALinear):
    """The same beside a matrix in few bits. ``merge`` gives the matrix as it is unpacked, plus the difference."""

    weight: QuantizedMatrix

    def held(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight(x, self.bias)

    def matrix(self) -> torch.Tensor:
        return self.weight.dequantize()


KINDS: dict[type[nn.Module], type[LoRALinear]] = {nn.Linear: LoRALinear, QuantizedLinear: LoRAQuantizedLinear}
LAYERS: dict[str, tuple[type[nn.Module], ...]] = {"all": (nn.Module,), "attention": (AttentionLayer, TimeMixing)}


def adapt(model: nn.Module, rank: int, alpha: float, dropout: float, layers: str = "all") -> int:
    """Give the linear layers that ``matrices`` name, of the kind ``LAYERS[layers]``, a difference; how many have one.

    Left as they are: matrices that a difference would not be smaller than.
    """
    adapted = 0
    for owner, name, layer, parts in linears(model):
        kind = KINDS.get(type(layer))
        if kind and isinstance(owner, LAYERS[layers]) and is_smaller(layer.weight.shape, rank, len(parts)):
            setattr(owner, name, kind.from_base(layer, rank, alpha, dropout, parts))
            adapted += 1
    return adapted


def is_smaller(shape: torch.Size, rank: int, parts: int) -> bool:
    """Whether a difference has fewer numbers than the matrix."""
    rows, columns = shape
    return rank * (rows + parts * columns) < rows * columns


def merge_adapters(model: nn.Module) -> nn.Module:
    """Every ``LoRALinear`` of a model is a plain linear layer from now on; the model."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LoRALinear):
                setattr(module, name, child.merge())
    return model
