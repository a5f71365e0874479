"""A layer with what an adapter changes of it, beside its weights and not in them.

In: a linear layer or an embedding, which stays as it is, and differences of its rows, or rows in the place of some of
its own. Out: a layer of the same shape. Whoever takes the first layer again has the bits that were there, whatever its
weights are stored as; the price is two thin products more for each difference.

The layers have the device of their base and learn nothing; for training see ``homespun.layers.lora``.

Shapes: C inputs (of an embedding: the width), R rows, r rank, n tokens with rows of their own, V tokens of the base.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn


class Piece(NamedTuple):
    """``scale`` x ``up`` (R, r) @ ``down`` (r, C), added to the rows from ``first_row`` on."""

    first_row: int
    up: torch.Tensor
    down: torch.Tensor
    scale: float

    @property
    def rows(self) -> slice:
        """Those that change."""
        return slice(self.first_row, self.first_row + len(self.up))


class WithDifferences(nn.Module):
    """``base`` and what is added to its rows."""

    def __init__(self, base: Any, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self.base, self.pieces = base, tuple(pieces)

    @property
    def weight(self) -> torch.Tensor:
        """The whole matrix, computed anew."""
        whole = self.base.weight.detach().clone()
        for piece in self.pieces:
            whole[piece.rows] += piece.scale * (piece.up @ piece.down)
        return whole

    @property
    def bias(self) -> torch.Tensor | None:
        """That of the base."""
        return self.base.bias


class LinearWithDifferences(WithDifferences):
    """Activations (…, C) -> (…, R)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.base(x)
        for piece in self.pieces:
            narrow = nn.functional.linear(x, piece.down.to(x.dtype))  # (…, r)
            out[..., piece.rows] += piece.scale * nn.functional.linear(narrow, piece.up.to(x.dtype))
        return out


class EmbeddingWithDifferences(WithDifferences):
    """Token ids (…) -> rows (…, C)."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        found = self.base(tokens)
        for piece in self.pieces:
            place = tokens - piece.first_row
            changes = ((place >= 0) & (place < len(piece.up)))[..., None]
            found = found + piece.scale * changes * (piece.up[place.clamp(0, len(piece.up) - 1)] @ piece.down)
        return found


class WithRows(nn.Module):
    """``base`` of V rows, and ``rows`` (n, C) at ``places`` (n), which rise; from V on they make the table longer."""

    def __init__(self, base: Any, known: int, places: torch.Tensor, rows: torch.Tensor) -> None:
        super().__init__()
        self.base, self.known, self.places, self.rows = base, known, places, rows
        self.inside = int((places < known).sum())

    @property
    def weight(self) -> torch.Tensor:
        """The whole table, computed anew."""
        whole = self.base.weight.detach().index_copy(0, self.places[: self.inside], self.rows[: self.inside])
        return torch.cat([whole, self.rows[self.inside :]])


class EmbeddingWithRows(WithRows):
    """Token ids (…) -> rows (…, C)."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        slots = torch.searchsorted(self.places, tokens.contiguous()).clamp(max=len(self.places) - 1)
        learned = (self.places[slots] == tokens)[..., None]
        return torch.where(learned, self.rows[slots], self.base(tokens.clamp(max=self.known - 1)))


class ReadOutWithRows(WithRows):
    """Activations (…, C) -> logits (…, V), or as many more as there are new tokens."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits, inside = self.base(x), self.places[: self.inside]
        learned = nn.functional.linear(x, self.rows.to(x.dtype))  # (…, n)
        in_place = learned[..., : self.inside]
        if (bias := getattr(self.base, "bias", None)) is not None:
            in_place = in_place + bias[inside]
        logits.index_copy_(-1, inside, in_place)
        return torch.cat([logits, learned[..., self.inside :]], dim=-1)
