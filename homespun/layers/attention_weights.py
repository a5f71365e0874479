"""The attention weights of any model, for drawing: who looked at whom, in every layer and head.

Models attend through a kernel that can be exchanged (``homespun.layers.attention``); here it is exchanged, for one
forward pass, for one that remembers. The result of the pass is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from homespun.layers.attention import AttentionLayer
from homespun.layers.sight import Sight, mask_of


@contextmanager
def watched_attention(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Inside, every forward pass adds the weights (B, H, T, S) of each layer, in order, to the list that is given."""
    layers = [module for module in model.modules() if isinstance(module, AttentionLayer)]
    kernels = [layer.attend for layer in layers]
    seen: list[torch.Tensor] = []

    def attend(
        queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float, sight: Sight
    ) -> torch.Tensor:
        share = queries.shape[1] // keys.shape[1]
        keys, values = (part.repeat_interleave(share, dim=1) for part in (keys, values))  # (B, H, S, D)
        scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5  # (B, H, T, S)
        mask = mask_of(sight, scores.shape[2], scores.shape[3], scores.device)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = nn.functional.dropout(scores.softmax(-1), dropout)
        seen.append(weights.detach())
        return weights @ values

    for layer in layers:
        layer.attend = attend
    try:
        yield seen
    finally:
        for layer, kernel in zip(layers, kernels, strict=True):
            layer.attend = kernel
