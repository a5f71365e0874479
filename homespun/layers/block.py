"""One block of a transformer: attention and feed-forward, each normalized and added to the residual stream.

Pre-norm (Radford et al. 2019, section 2.3): x + attention(norm(x)), then x + feedforward(norm(x)).
Post-norm (Vaswani et al. 2017, section 3.1): norm(x + attention(x)), then norm(x + feedforward(x)).
"""

import torch
from torch import nn

from homespun.layers.attention import SelfAttention
from homespun.layers.cache import LayerCache
from homespun.layers.equal_part import EqualPart
from homespun.layers.normalization import Normalization
from homespun.layers.positions import Positions


class Block(EqualPart):
    """Pre-norm: the residual stream (B, T, C) passes through untouched; the two parts add to it."""

    def __init__(
        self,
        width: int,
        attention: SelfAttention,
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
        positions: Positions,
        start: int = 0,
        cache: LayerCache | None = None,
        documents: torch.Tensor | None = None,
        added_values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Activations (B, T, C) -> (B, T, C); the rest is for the attention (``SelfAttention``)."""
        found = self.attention(self.attention_norm(x), positions, start, cache, documents, added_values)
        x = x + self.dropout(found)
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))


class PostNormBlock(Block):
    """Post-norm: what the parts have added is normalized, and the stream with it."""

    def forward(
        self,
        x: torch.Tensor,
        positions: Positions,
        start: int = 0,
        cache: LayerCache | None = None,
        documents: torch.Tensor | None = None,
        added_values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        found = self.attention(x, positions, start, cache, documents, added_values)
        x = self.attention_norm(x + self.dropout(found))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x)))


BLOCKS: dict[str, type[Block]] = {"pre": Block, "post": PostNormBlock}
