"""Caches: what a model has computed of earlier tokens, kept so that it is not computed again.

One object for a whole model: ``cache.layers[i]`` is for layer i. ``KeyValueCache`` is that of attention: room for
``capacity`` positions is taken once; nothing grows while text is generated. ``CrossCache`` is that of a decoder that
looks at another sequence as well. ``StateCache`` is that of recurrence.
"""

from typing import Any

import torch


class LayerCache:
    """Keys and values of one layer, (B, K, capacity, D) each, the first ``length`` of them filled."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.keys = keys
        self.values = values
        self.length = 0

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add T new positions (B, K, T, D); return everything so far, (B, K, S, D) each."""
        stop = self.length + keys.shape[2]
        if stop > self.keys.shape[2]:
            raise ValueError(f"the cache holds {self.keys.shape[2]} positions, position {stop} was asked for")
        self.keys[:, :, self.length : stop] = keys
        self.values[:, :, self.length : stop] = values
        self.length = stop
        return self.keys[:, :, :stop], self.values[:, :, :stop]

    def select(self, rows: torch.Tensor) -> None:
        """Row i is from now on what row ``rows[i]`` was: several texts may go on from one, and others end."""
        self.keys, self.values = (selected(part, rows, self.length) for part in (self.keys, self.values))

    def shrink(self, capacity: int) -> None:
        """Keep room for so many positions only, from the first on: before many rows are made of one."""
        self.keys, self.values = self.keys[:, :, :capacity], self.values[:, :, :capacity]


class KeyValueCache:
    """The caches of all layers of one model."""

    of_layer: type[LayerCache] = LayerCache

    def __init__(self, layers: int, batch: int, heads: int, capacity: int, head_width: int, like: torch.Tensor) -> None:
        """``like`` gives the dtype and the device (a weight of the model)."""
        shape = (batch, heads, capacity, head_width)
        self.layers = [self.of_layer(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(layers)]

    @property
    def length(self) -> int:
        """How many positions are filled."""
        return self.layers[0].length

    def clear(self) -> None:
        """Forget everything; the room stays taken."""
        for layer in self.layers:
            layer.length = 0

    def select(self, rows: torch.Tensor) -> None:
        """``LayerCache.select`` in all layers."""
        for layer in self.layers:
            layer.select(rows)

    def shrink(self, capacity: int) -> None:
        """``LayerCache.shrink`` in all layers."""
        for layer in self.layers:
            layer.shrink(capacity)


class CrossLayerCache(LayerCache):
    """One layer's, and beside it keys and values of another sequence, (B, H, S, D) each, once they are worked out."""

    other: tuple[torch.Tensor, torch.Tensor] | None = None

    def select(self, rows: torch.Tensor) -> None:
        """The same for both sequences."""
        super().select(rows)
        if self.other is not None:
            keys, values = self.other
            self.other = (keys[rows], values[rows])


def selected(tensor: torch.Tensor, rows: torch.Tensor, length: int) -> torch.Tensor:
    """The first ``length`` positions of these rows of (B, K, capacity, D); in place where there are as many."""
    out = tensor if len(rows) == len(tensor) else tensor.new_zeros(len(rows), *tensor.shape[1:])
    out[:, :, :length] = tensor[rows, :, :length]
    return out


class CrossCache(KeyValueCache):
    """The caches of a decoder that looks at another sequence, too."""

    layers: list[CrossLayerCache]  # type: ignore[assignment]
    of_layer = CrossLayerCache

    def clear(self) -> None:
        """Forget everything, the other sequence too."""
        super().clear()
        for layer in self.layers:
            layer.other = None


class StateCache:
    """What a recurrent model carries on: for each layer the same few tensors, however long the text is."""

    def __init__(self, layers: int) -> None:
        self.layers: list[Any] = [None] * layers
        self.length = 0

    def clear(self) -> None:
        """Forget everything."""
        self.layers = [None] * len(self.layers)
        self.length = 0

    def select(self, rows: torch.Tensor) -> None:
        """As ``LayerCache.select``; a layer's state is a tuple of tensors whose first dimension is the row."""
        self.layers = [None if state is None else rows_of(state, rows) for state in self.layers]

    def shrink(self, capacity: int) -> None:
        """Nothing to give up: a state is as large for one token as for many."""


def rows_of(state: Any, rows: torch.Tensor) -> Any:
    """These rows of a tuple of tensors, as a tuple of the same type."""
    parts = [part[rows] for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
