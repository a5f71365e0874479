"""The attention weights of any model, for drawing: who looked at whom, in every layer and head.

Models attend through a kernel that can be exchanged (``homespun.layers.attention``); here it is exchanged, for one
forward pass, for one that remembers. The result of the pass is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from homespun.layers.attention import CausalSelfAttention


@contextmanager
def watched_attention(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Inside, every forward pass adds the weights (B, H, T, S) of each layer, in order, to the list that is given."""
    layers = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]
    kernels = [layer.attend for layer in layers]
    seen: list[torch.Tensor] = []

    def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float) -> torch.Tensor:
        share = queries.shape[1] // keys.shape[1]
        keys, values = (part.repeat_interleave(share, dim=1) for part in (keys, values))
        scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5  # (B, H, T, S)
        earlier = scores.shape[-1] - scores.shape[-2]
        later = torch.ones_like(scores, dtype=torch.bool).triu(earlier + 1)
        weights = nn.functional.dropout(scores.masked_fill(later, float("-inf")).softmax(-1), dropout)
        seen.append(weights.detach())
        return weights @ values

    for layer in layers:
        layer.attend = attend
    try:
        yield seen
    finally:
        for layer, kernel in zip(layers, kernels, strict=True):
            layer.attend = kernel
