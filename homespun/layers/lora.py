"""LoRA (Hu et al. 2021, section 4.1): a linear layer whose weights stay, and a low-rank difference that learns.

In: activations (…, C). Out: (…, R), those of the layer plus alpha / r times B A x; A is (r, C), B is (R, r) and begins
at zero, so that at first nothing has changed. ``merge`` adds the difference to the weights: one linear layer again.

Where several matrices are stored as one (queries, keys and values), each of these parts has a difference of its own, as
if they were apart.
"""

import torch
from torch import nn

from homespun.layers.attention import AttentionLayer
from homespun.layers.experts import Experts
from homespun.layers.rwkv import TimeMixing


class LoRALinear(nn.Module):
    """``weight`` (R, C) and ``bias`` as before, and ``down`` (P r, C) and ``up`` (R, r) for P parts of the rows.

    The paper's A is ``down``, its B is ``up``.
    """

    def __init__(
        self, weight: nn.Parameter, bias: nn.Parameter | None, parts: tuple[int, ...], rank: int, scale: float,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight, self.bias = weight, bias
        self.parts, self.rank, self.scale = parts, rank, scale
        self.dropout = nn.Dropout(dropout)
        rows, columns = weight.shape
        self.down = nn.Parameter(weight.new_empty(len(parts) * rank, columns))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        self.matrices = {"down": (rank,) * len(parts), "up": parts}
        nn.init.uniform_(self.down, -(columns**-0.5), columns**-0.5)  # as in the authors' own program

    @classmethod
    def from_base(
        cls, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0, parts: tuple[int, ...] = ()
    ) -> "LoRALinear":
        """Around a layer, whose own parameters are held still. ``parts``: rows of the matrices that it is fused of."""
        base.requires_grad_(False)
        return cls(base.get_parameter("weight"), base.bias, parts or (base.out_features,), rank, alpha / rank, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        narrow = nn.functional.linear(self.dropout(x), self.down)  # (…, P r)
        changes = [
            nn.functional.linear(part, up)
            for part, up in zip(narrow.split(self.rank, dim=-1), self.up.split(self.parts), strict=True)
        ]
        return nn.functional.linear(x, self.weight, self.bias) + self.scale * torch.cat(changes, dim=-1)

    @torch.no_grad()
    def difference(self) -> torch.Tensor:
        """What has been learned, as a matrix (R, C)."""
        pairs = zip(self.up.split(self.parts), self.down.split(self.rank), strict=True)
        return self.scale * torch.cat([up @ down for up, down in pairs])

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """A plain layer that computes the same; this one stays as it is."""
        rows, columns = self.weight.shape
        merged = nn.Linear(columns, rows, bias=self.bias is not None, device="meta")
        merged.weight = nn.Parameter(self.weight + self.difference())
        if self.bias is not None:
            merged.bias = nn.Parameter(self.bias.clone())
        return merged


LAYERS: dict[str, tuple[type[nn.Module], ...]] = {"all": (nn.Module,), "attention": (AttentionLayer, TimeMixing)}


def adapt(model: nn.Module, rank: int, alpha: float, dropout: float, layers: str = "all") -> int:
    """Give the linear layers that ``matrices`` name, of the kind ``LAYERS[layers]``, a difference; how many have one.

    Left as they are: matrices that a difference would not be smaller than, and experts, which multiply by parts of a
    matrix and not by a layer.
    """
    adapted = 0
    for module in list(model.modules()):
        if not isinstance(module, LAYERS[layers]) or isinstance(module, Experts):
            continue
        for tensor, parts in getattr(module, "matrices", {}).items():
            name = tensor.removesuffix(".weight")
            linear = getattr(module, name, None)
            if isinstance(linear, nn.Linear) and is_smaller(linear, rank, len(parts)):
                setattr(module, name, LoRALinear.from_base(linear, rank, alpha, dropout, tuple(parts)))
                adapted += 1
    return adapted


def is_smaller(linear: nn.Linear, rank: int, parts: int) -> bool:
    """Whether a difference has fewer numbers than the matrix."""
    rows, columns = linear.weight.shape
    return rank * (rows + parts * columns) < rows * columns


def merge_adapters(model: nn.Module) -> nn.Module:
    """Every ``LoRALinear`` of a model is a plain linear layer from now on; the model."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LoRALinear):
                setattr(module, name, child.merge())
    return model
