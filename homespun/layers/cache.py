"""Caches: what a model has computed of earlier tokens, kept so that it is not computed again.

One object for a whole model: ``cache.layers[i]`` is for layer i. ``KeyValueCache`` is that of attention: room for
``capacity`` positions is taken once; nothing grows while text is generated. ``StateCache`` is that of recurrence.
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


class KeyValueCache:
    """The caches of all layers of one model."""

    def __init__(self, layers: int, batch: int, heads: int, capacity: int, head_width: int, like: torch.Tensor) -> None:
        """``like`` gives the dtype and the device (a weight of the model)."""
        shape = (batch, heads, capacity, head_width)
        self.layers = [LayerCache(like.new_zeros(shape), like.new_zeros(shape)) for _ in range(layers)]

    @property
    def length(self) -> int:
        """How many positions are filled."""
        return self.layers[0].length

    def clear(self) -> None:
        """Forget everything; the room stays taken."""
        for layer in self.layers:
            layer.length = 0


class StateCache:
    """What a recurrent model carries on: for each layer the same few tensors, however long the text is."""

    def __init__(self, layers: int) -> None:
        self.layers: list[Any] = [None] * layers
        self.length = 0

    def clear(self) -> None:
        """Forget everything."""
        self.layers = [None] * len(self.layers)
        self.length = 0
