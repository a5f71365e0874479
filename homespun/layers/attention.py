"""Causal multi-head attention: activations (B, T, C) in, the same shape out.

Vaswani et al. 2017, section 3.2, with grouped queries (Ainslie et al. 2023: K key-value heads
serve H query heads; K = H is plain multi-head attention) and, where the model asks for it,
normalized queries and keys (Henry et al. 2020; the form of Qwen3, one gain per head channel).

The kernel is a part that can be exchanged (``ATTENTIONS``, ``use_attention``): which one is faster depends on
the machine, the type and the length, so the one who trains measures it.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from homespun.layers.cache import LayerCache
from homespun.layers.normalization import Normalization
from homespun.layers.positions import LearnedPositions, RotaryPositions
from homespun.layers.query_blocks import query_blocks

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float) -> torch.Tensor:
    """Each query looks at the keys up to its own position, the last query at all of them. PyTorch's fused kernel.

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


def attend_explicitly(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float) -> torch.Tensor:
    """The same from matrix products and softmaxes, block by block; the weights of all blocks are kept for backward.

    In bfloat16 on a processor forward and backward take 4.7 ms where the fused kernel takes 13.8 (16 windows of 128,
    2 heads of 64), in float32 they are level: docs/experiments.md.
    """
    batch, heads, new, width = queries.shape
    key_value_heads, seen = keys.shape[1:3]
    queries = queries.reshape(batch * key_value_heads, heads // key_value_heads, new, width)  # (B K, H/K, T, D)
    keys = keys.reshape(batch * key_value_heads, seen, width)  # (B K, S, D)
    values = values.reshape(batch * key_value_heads, seen, width)
    mixed = []
    for begin, end in query_blocks(new):
        visible = seen - new + end
        mixed.append(attend_block(queries[:, :, begin:end], keys[:, :visible], values[:, :visible], dropout))
    return (mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=2)).view(batch, heads, new, width)


def attend_block(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float) -> torch.Tensor:
    """The last of T queries sees all keys, each before it one less: (B K, H/K, T, D), (B K, S, D) -> like queries."""
    _, share, new, width = queries.shape
    seen = keys.shape[1]
    later = torch.full((new, seen), -math.inf, dtype=queries.dtype, device=queries.device).triu(seen - new + 1)
    # The query heads of one key-value head are further rows of its product: nothing is repeated.
    scores = torch.baddbmm(
        later.repeat(share, 1), queries.flatten(1, 2), keys.transpose(1, 2), alpha=width**-0.5
    )  # (B K, H/K T, S)
    weights = nn.functional.dropout(scores.softmax(-1), dropout)
    return torch.bmm(weights, values).view_as(queries)


ATTENTIONS: dict[str, Attention] = {"fused": attend, "explicit": attend_explicitly}


class CausalSelfAttention(nn.Module):
    """Queries, keys and values from one projection; heads attend; one projection back."""

    attend: Attention

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
        self.attend = attend
        self.split = (heads, key_value_heads, key_value_heads)
        self.head_width = head_width
        self.dropout = dropout
        self.query_key_value = nn.Linear(width, sum(self.split) * head_width, bias=biases)
        self.query_norm = head_normalization(head_width) if head_normalization else nn.Identity()
        self.key_norm = head_normalization(head_width) if head_normalization else nn.Identity()
        self.output = nn.Linear(heads * head_width, width, bias=biases)
        # For optimizers that treat matrices as such: which there are, and the rows of those that are fused into one.
        self.matrices = {
            "query_key_value.weight": tuple(part * head_width for part in self.split),
            "output.weight": (width,),
        }

    def forward(
        self,
        x: torch.Tensor,
        positions: LearnedPositions | RotaryPositions,
        start: int,
        cache: LayerCache | None,
        added_values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Activations (B, T, C) -> (B, T, C); ``added_values`` (B, T, K D) come on top of the values."""
        batch, length, _ = x.shape
        projected = self.query_key_value(x).view(batch, length, sum(self.split), self.head_width)  # (B, T, H+2K, D)
        queries, keys, values = projected.split(self.split, dim=2)
        queries = positions.turn(self.query_norm(queries), start).transpose(1, 2)  # (B, H, T, D)
        keys = positions.turn(self.key_norm(keys), start).transpose(1, 2)  # (B, K, T, D)
        if added_values is not None:
            values = values + added_values.view_as(values)
        values = values.transpose(1, 2)
        if cache is not None:
            keys, values = cache.append(keys, values)  # (B, K, S, D)
        mixed = self.attend(queries, keys, values, self.dropout if self.training else 0.0)  # (B, H, T, D)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, -1))


def use_attention(model: nn.Module, name: str) -> None:
    """Every attention layer of the model works by ``ATTENTIONS[name]`` from now on."""
    for module in model.modules():
        if isinstance(module, CausalSelfAttention):
            module.attend = ATTENTIONS[name]
