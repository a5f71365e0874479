"""Causal multi-head attention: activations (B, T, C) in, the same shape out.

Vaswani et al. 2017, section 3.2, with grouped queries (Ainslie et al. 2023: K key-value heads
serve H query heads; K = H is plain multi-head attention) and, where the model asks for it,
normalized queries and keys (Henry et al. 2020; the form of Qwen3, one gain per head channel).
"""

import torch
from torch import nn

from homespun.layers.cache import LayerCache
from homespun.layers.normalization import Normalization
from homespun.layers.positions import LearnedPositions, RotaryPositions


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float) -> torch.Tensor:
    """Each query looks at the keys up to its own position, the last query at all of them.

    queries (B, H, T, D), keys and values (B, K, S, D) -> (B, H, T, D).
    """
    new, seen = queries.shape[2], keys.shape[2]
    mask = None
    if 1 < new < seen:
        mask = torch.ones(new, seen, dtype=torch.bool, device=queries.device).tril(seen - new)
    return nn.functional.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=new == seen and new > 1,
        enable_gqa=keys.shape[1] != queries.shape[1],
    )


class CausalSelfAttention(nn.Module):
    """Queries, keys and values from one projection; heads attend; one projection back."""

    def __init__(
        self,
        width: int,
        heads: int,
        key_value_heads: int,
        head_width: int,
        *,
        biases: bool,
        head_normalization: Normalization | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.split = (heads, key_value_heads, key_value_heads)
        self.head_width = head_width
        self.dropout = dropout
        self.query_key_value = nn.Linear(width, sum(self.split) * head_width, bias=biases)
        self.query_norm = head_normalization(head_width) if head_normalization else nn.Identity()
        self.key_norm = head_normalization(head_width) if head_normalization else nn.Identity()
        self.output = nn.Linear(heads * head_width, width, bias=biases)

    def forward(
        self, x: torch.Tensor, positions: LearnedPositions | RotaryPositions, start: int, cache: LayerCache | None
    ) -> torch.Tensor:
        batch, length, _ = x.shape
        projected = self.query_key_value(x).view(batch, length, sum(self.split), self.head_width)  # (B, T, H+2K, D)
        queries, keys, values = projected.split(self.split, dim=2)
        queries = positions.turn(self.query_norm(queries), start).transpose(1, 2)  # (B, H, T, D)
        keys = positions.turn(self.key_norm(keys), start).transpose(1, 2)  # (B, K, T, D)
        values = values.transpose(1, 2)
        if cache is not None:
            keys, values = cache.append(keys, values)  # (B, K, S, D)
        mixed = attend(queries, keys, values, self.dropout if self.training else 0.0)  # (B, H, T, D)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, -1))
