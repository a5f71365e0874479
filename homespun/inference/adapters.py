"""Many adapters on one base: a model in memory once, and which of several finetunings it speaks with.

In: a model and its tokenizer; adapters by name. Out: the same model, changed in place by ``use("name")``, and as it was
by ``use(None)``.

An adapter is applied beside the weights (``homespun.layers.adapted``) and not added to them. Taking a sum apart again
is not exact in floating-point numbers, and a copy of what was there would cost the memory of the base; so would the
weights of a base that is stored in fewer bits. Here a switch exchanges layers that are ready, and ``use(None)`` puts
the base's own back: the same objects, the same bits. Who wants one adapter for good, and no products more for each
token, merges it (``homespun.models.adapter.merge``, ``homespun import --adapter``).
"""

import copy
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from homespun.common.errors import UsageError
from homespun.layers.adapted import (
    EmbeddingWithDifferences,
    EmbeddingWithRows,
    LinearWithDifferences,
    Piece,
    ReadOutWithRows,
)
from homespun.layers.positions import LearnedPositions
from homespun.models.adapter import EMBEDDING, HEAD, Adapter, Difference, Rows, check_adapter
from homespun.tokenizer.tokenizer import Tokenizer

BASE = "base"  # the word for no adapter, where a word is needed


@dataclass(frozen=True)
class Ready:
    """What changes places when an adapter comes into use: ``layers`` by their names, settings, tokenizer."""

    layers: dict[str, nn.Module]
    config: Any
    tokenizer: Tokenizer


class Adapters:
    """``model``: as it is with the adapter ``in_use``; None is none. ``tokenizer`` is the one that belongs to it."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        self.model = model
        self.in_use: str | None = None
        self.ready: dict[str | None, Ready] = {None: Ready({}, model.config, tokenizer)}
        self.shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}

    @property
    def names(self) -> list[str]:
        """Of the adapters, in the order in which they came."""
        return [name for name in self.ready if name is not None]

    @property
    def tokenizer(self) -> Tokenizer:
        """A finetuning may have given control tokens or a chat template to the base's."""
        return self.ready[self.in_use].tokenizer

    def add(self, name: str, adapter: Adapter, tokenizer: Tokenizer | None = None) -> None:
        """Make an adapter ready. ``tokenizer``: its own, if it is not the base's.

        ``HomespunError`` for one of another base, ``UsageError`` for a name that is taken.
        """
        if name in (*self.names, BASE):
            raise UsageError(f"the adapter's name {name} is taken; give it another: --adapter NAME=FOLDER")
        in_use = self.in_use
        self.use(None)
        config = replace(self.model.config, vocabulary_size=check_adapter(adapter, self.shapes))
        layers = layers_of(self.model, adapter)
        self.ready[None].layers.update({path: self.model.get_submodule(path) for path in layers})
        self.ready[name] = Ready(layers, config, tokenizer or self.tokenizer)
        self.use(in_use)

    def use(self, name: str | None) -> None:
        """Let the model speak with this adapter, or as the base."""
        if name not in self.ready:
            raise UsageError(f"there is no adapter {name}; there is {', '.join(self.names) or 'none'}")
        for path, layer in (self.ready[None].layers | self.ready[name].layers).items():
            owner, _, last = path.rpartition(".")
            setattr(self.model.get_submodule(owner), last, layer)
        self.model.config, self.in_use = self.ready[name].config, name


def layers_of(model: nn.Module, adapter: Adapter) -> dict[str, nn.Module]:
    """The layers that stand for those of the model, by their names; nothing of the model is copied or changed."""
    differences: dict[str, list[Difference]] = defaultdict(list)
    for difference in adapter.differences:
        differences[difference.tensor].append(difference)
    rows = {one.tensor: one.in_order() for one in adapter.rows}
    if HEAD not in dict(model.named_parameters()) and hasattr(model, "head"):  # tied: what changes one changes both
        differences[HEAD], rows = differences[EMBEDDING], rows | ({HEAD: rows[EMBEDDING]} if EMBEDDING in rows else {})
    layers: dict[str, nn.Module] = {}
    with torch.no_grad():
        for tensor in {name for name, some in differences.items() if some} | rows.keys():
            path = tensor.removesuffix(".weight")
            layers[path] = adapted(model.get_submodule(path), differences[tensor], rows.get(tensor))
    return layers


def adapted(layer: Any, differences: list[Difference], rows: Rows | None) -> nn.Module:
    """A layer in the place of ``layer``, which it holds."""
    device = next(layer.parameters()).device
    pieces = [Piece(one.first_row, one.up.to(device), one.down.to(device), one.scale) for one in differences]
    if isinstance(layer, LearnedPositions):
        return with_sum(layer, pieces)
    is_table, found = isinstance(layer, nn.Embedding), layer
    if pieces:
        found = (EmbeddingWithDifferences if is_table else LinearWithDifferences)(layer, pieces)
    if rows:
        places = torch.tensor(rows.places, device=device)
        kind = EmbeddingWithRows if is_table else ReadOutWithRows
        found = kind(found, len(layer.weight), places, rows.values.to(device))
    return found


def with_sum(layer: LearnedPositions, pieces: list[Piece]) -> nn.Module:
    """Positions are not called with what they multiply: a twin with the sum for its weight; the table is small."""
    twin = copy.deepcopy(layer)
    for piece in pieces:
        twin.weight[piece.rows] += piece.scale * (piece.up @ piece.down)
    return twin.requires_grad_(False)
