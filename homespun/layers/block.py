"""One decoder block: attention and feed-forward, each behind a normalization and added to the residual stream.

Pre-norm (Radford et al. 2019, section 2.3): x + attention(norm(x)), then x + feedforward(norm(x)).
"""

import torch
from torch import nn

from homespun.layers.attention import CausalSelfAttention
from homespun.layers.cache import LayerCache
from homespun.layers.normalization import Normalization
from homespun.layers.positions import LearnedPositions, RotaryPositions


class Block(nn.Module):
    """The residual stream (B, T, C) passes through; the two parts add to it."""

    def __init__(
        self,
        width: int,
        attention: CausalSelfAttention,
        feedforward: nn.Module,
        normalization: Normalization,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm = normalization(width)
        self.attention = attention
        self.feedforward_norm = normalization(width)
        self.feedforward = feedforward
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        positions: LearnedPositions | RotaryPositions,
        start: int,
        cache: LayerCache | None,
        added_values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), positions, start, cache, added_values))
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))
