"""The attention weights of any model, for drawing: who looked at whom, in every layer and head.

Models attend through a kernel that can be exchanged (``homespun.layers.attention``); here it is exchanged, for one
forward pass, for one that remembers. The result of the pass is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from homespun.layers.attention import CausalSelfAttention
from homespun.layers.attention_steps import attend_causally


@contextmanager
def watched_attention(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Inside, every forward pass adds the weights (B, H, T, S) of each layer, in order, to the list that is given."""
    layers = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
    kernels = [layer.attend for layer in layers]
    seen: list[torch.Tensor] = []

    def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float) -> torch.Tensor:
        mixed, weights = attend_causally(queries, keys, values, partial(nn.functional.dropout, p=dropout))
        seen.append(weights.detach())
        return mixed

    for layer in layers:
        layer.attend = attend
    try:
        yield seen
    finally:
        for layer, kernel in zip(layers, kernels, strict=True):
            layer.attend = kernel
