"""One block of a transformer: attention and feed-forward, each normalized and added to the residual stream.

``CrossBlock`` and ``PostNormCrossBlock`` are those of a decoder that also looks at another sequence, between the two.

Pre-norm (Radford et al. 2019, section 2.3): x + attention(norm(x)), then x + feedforward(norm(x)).
Post-norm (Vaswani et al. 2017, section 3.1): norm(x + attention(x)), then norm(x + feedforward(x)).
"""

import torch
from torch import nn

from homespun.layers.attention import CrossAttention, SelfAttention
from homespun.layers.cache import CrossLayerCache, LayerCache
from homespun.layers.equal_part import EqualPart
from homespun.layers.normalization import Normalization
from homespun.layers.positions import Positions

Documents = tuple[torch.Tensor, torch.Tensor] | None


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


class CrossBlock(EqualPart):
    """Pre-norm: look at one's own sequence, look at the other one, think it over."""

    def __init__(
        self,
        width: int,
        attention: SelfAttention,
        cross_attention: CrossAttention,
        feedforward: nn.Module,
        normalization: Normalization,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm = normalization(width)
        self.attention = attention
        self.cross_norm = normalization(width)
        self.cross_attention = cross_attention
        self.feedforward_norm = normalization(width)
        self.feedforward = feedforward
        self.dropout = nn.Dropout(dropout)

    def look_across(
        self, x: torch.Tensor, other: torch.Tensor, cache: CrossLayerCache | None, documents: Documents
    ) -> torch.Tensor:
        """What (B, T, C) finds in the other sequence (B, S, C), whose keys and values a cache keeps."""
        if cache is None:
            keys, values = self.cross_attention.keys_and_values(other)
        else:
            if cache.other is None:
                cache.other = self.cross_attention.keys_and_values(other)
            keys, values = cache.other
        return self.cross_attention(x, keys, values, documents)

    def forward(
        self,
        x: torch.Tensor,
        positions: Positions,
        other: torch.Tensor,
        start: int = 0,
        cache: CrossLayerCache | None = None,
        documents: Documents = None,
    ) -> torch.Tensor:
        """Activations (B, T, C) and the other sequence (B, S, C) -> (B, T, C).

        ``documents``: numbers (B, T) and (B, S) of the texts here and there (``Sight``), for looking across.
        """
        x = x + self.dropout(self.attention(self.attention_norm(x), positions, start, cache))
        x = x + self.dropout(self.look_across(self.cross_norm(x), other, cache, documents))
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))


class PostNormCrossBlock(CrossBlock):
    """Post-norm: the three parts in the same order, each normalized with the stream that it was added to."""

    def forward(
        self,
        x: torch.Tensor,
        positions: Positions,
        other: torch.Tensor,
        start: int = 0,
        cache: CrossLayerCache | None = None,
        documents: Documents = None,
    ) -> torch.Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, positions, start, cache)))
        x = self.cross_norm(x + self.dropout(self.look_across(x, other, cache, documents)))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x)))


CROSS_BLOCKS: dict[str, type[CrossBlock]] = {"pre": CrossBlock, "post": PostNormCrossBlock}
