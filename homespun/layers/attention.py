"""Multi-head attention: activations (B, T, C) in, the same shape out.

Vaswani et al. 2017, section 3.2, with grouped queries (Ainslie et al. 2023: K key-value heads
serve H query heads; K = H is plain multi-head attention) and, where the model asks for it,
normalized queries and keys (Henry et al. 2020; the form of Qwen3, one gain per head channel).

``SelfAttention`` looks at its own sequence, all of it or causally; ``CrossAttention`` at another one. Who may look at
whom is a ``Sight``. The kernel is a part that can be exchanged (``ATTENTIONS``, ``use_attention``): which one is faster
depends on the machine, the type and the length, so the one who trains measures it.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from homespun.layers.cache import LayerCache
from homespun.layers.normalization import Normalization
from homespun.layers.positions import Positions
from homespun.layers.query_blocks import query_blocks
from homespun.layers.sight import CAUSAL, Sight, mask_of

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float, Sight], torch.Tensor]


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float, sight: Sight = CAUSAL
) -> torch.Tensor:
    """PyTorch's fused kernel. queries (B, H, T, D), keys and values (B, K, S, D) -> (B, H, T, D)."""
    new, seen = queries.shape[2], keys.shape[2]
    plainly_causal = sight.is_plainly_causal(new, seen)
    return nn.functional.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=None if plainly_causal else mask_of(sight, new, seen, queries.device),
        dropout_p=dropout,
        is_causal=plainly_causal and new > 1,
        enable_gqa=keys.shape[1] != queries.shape[1],
    )


def attend_explicitly(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float, sight: Sight = CAUSAL
) -> torch.Tensor:
    """The same from matrix products and softmaxes, block by block; the weights of all blocks are kept for backward.

    In bfloat16 on a processor forward and backward take 4.7 ms where the fused kernel takes 13.8 (16 windows of 128,
    2 heads of 64), in float32 they are level: docs/experiments.md.
    """
    batch, heads, new, width = queries.shape
    key_value_heads, seen = keys.shape[1:3]
    share = heads // key_value_heads
    queries = queries.reshape(batch * key_value_heads, share, new, width)  # (B K, H/K, T, D)
    keys = keys.reshape(batch * key_value_heads, seen, width)  # (B K, S, D)
    values = values.reshape(batch * key_value_heads, seen, width)
    bias = None if sight.is_plainly_causal(new, seen) else bias_of(sight, queries, key_value_heads, seen)
    mixed = []
    for begin, end in query_blocks(new) if sight.causal else [(0, new)]:
        visible = seen - new + end if sight.causal else seen
        earliest = max(0, seen - new + begin - sight.window + 1) if sight.causal and sight.window else 0
        rows, columns = slice(begin, end), slice(earliest, visible)
        forbidden = (
            triangle(end - begin, visible, queries) if bias is None else bias[:, rows, columns]
        )  # (1 or B K, T', S')
        mixed.append(attend_block(queries[:, :, rows], keys[:, columns], values[:, columns], dropout, forbidden))
    return (mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=2)).view(batch, heads, new, width)


def attend_block(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: float, bias: torch.Tensor
) -> torch.Tensor:
    """(B K, H/K, T, D), (B K, S, D) and what is added to the scores (1 or B K, T, S) -> like queries."""
    _, share, _, width = queries.shape
    # The query heads of one key-value head are further rows of its product: nothing is repeated but the bias.
    scores = torch.baddbmm(
        bias.repeat(1, share, 1), queries.flatten(1, 2), keys.transpose(1, 2), alpha=width**-0.5
    )  # (B K, H/K T, S)
    weights = nn.functional.dropout(scores.softmax(-1), dropout)
    return torch.bmm(weights, values).view_as(queries)


def triangle(new: int, seen: int, like: torch.Tensor) -> torch.Tensor:
    """0 where the last ``new`` of ``seen`` positions may look causally, minus infinity elsewhere: (1, T, S)."""
    return torch.full((1, new, seen), -math.inf, dtype=like.dtype, device=like.device).triu(seen - new + 1)


def bias_of(sight: Sight, queries: torch.Tensor, key_value_heads: int, seen: int) -> torch.Tensor:
    """0 where a query may look, minus infinity elsewhere: (1 or B K, T, S)."""
    new = queries.shape[2]
    mask = mask_of(sight, new, seen, queries.device)
    if mask is None:
        return queries.new_zeros(1, new, seen)
    bias = torch.zeros(mask.shape, dtype=queries.dtype, device=queries.device).masked_fill(~mask, -math.inf)
    return bias[None] if mask.dim() == 2 else bias[:, 0].repeat_interleave(key_value_heads, dim=0)


ATTENTIONS: dict[str, Attention] = {"fused": attend, "explicit": attend_explicitly}


class AttentionLayer(nn.Module):
    """What all attention layers have: a kernel, dropout of its weights, and a projection back, their last part."""

    attend: Attention
    output: nn.Linear

    def __init__(self, head_width: int, dropout: float) -> None:
        super().__init__()
        self.attend = attend
        self.head_width = head_width
        self.dropout = dropout

    def mix(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, sight: Sight) -> torch.Tensor:
        """Heads (B, H, T, D), (B, K, S, D) -> activations (B, T, C)."""
        mixed = self.attend(queries, keys, values, self.dropout if self.training else 0.0, sight)  # (B, H, T, D)
        return self.output(mixed.transpose(1, 2).flatten(2))


class SelfAttention(AttentionLayer):
    """Queries, keys and values from one projection; heads attend; one projection back."""

    def __init__(
        self,
        width: int,
        heads: int,
        key_value_heads: int,
        head_width: int,
        *,
        biases: bool,
        head_normalization: Normalization | None = None,
        dropout: float = 0.0,
        projection_biases: bool = False,
        causal: bool = True,
        window: int = 0,
    ) -> None:
        """``biases`` everywhere; ``projection_biases`` of queries, keys and values alone. ``window``: see ``Sight``."""
        super().__init__(head_width, dropout)
        self.causal, self.window = causal, window
        self.split = (heads, key_value_heads, key_value_heads)
        self.query_key_value = nn.Linear(width, sum(self.split) * head_width, bias=biases or projection_biases)
        self.query_norm = head_normalization(head_width) if head_normalization else nn.Identity()
        self.key_norm = head_normalization(head_width) if head_normalization else nn.Identity()
        self.output = nn.Linear(heads * head_width, width, bias=biases)
        # For optimizers that treat matrices as such: which there are, and the rows of those that are fused into one.
        self.matrices = {
            "query_key_value.weight": tuple(part * head_width for part in self.split),
            "output.weight": (width,),
        }
        # For those who divide the layer, head by head: what of each part is divided.
        self.divided = {
            "query_key_value": "outputs", "query_norm": "between", "key_norm": "between", "output": "inputs",
        }  # fmt: skip

    def forward(
        self,
        x: torch.Tensor,
        positions: Positions,
        start: int = 0,
        cache: LayerCache | None = None,
        documents: torch.Tensor | None = None,
        added_values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Activations (B, T, C) -> (B, T, C).

        ``documents`` (B, T): tokens see only those with the same number, all of them without. ``added_values``
        (B, T, K D) come on top of the values.
        """
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
        both = None if documents is None else (documents, documents)
        return self.mix(queries, keys, values, Sight(self.causal, self.window, both))


class CrossAttention(AttentionLayer):
    """Queries from one sequence, keys and values from another, all of which they may see but its padding."""

    def __init__(self, width: int, heads: int, head_width: int, *, biases: bool, dropout: float = 0.0) -> None:
        super().__init__(head_width, dropout)
        self.heads = heads
        self.query = nn.Linear(width, heads * head_width, bias=biases)
        self.key_value = nn.Linear(width, 2 * heads * head_width, bias=biases)
        self.output = nn.Linear(heads * head_width, width, bias=biases)
        self.matrices = {
            "query.weight": (heads * head_width,),
            "key_value.weight": (heads * head_width,) * 2,
            "output.weight": (width,),
        }

    def keys_and_values(self, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the other sequence (B, S, C): (B, H, S, D) each. They stay the same while a text is written."""
        heads = self.key_value(other).unflatten(-1, (2 * self.heads, self.head_width)).transpose(1, 2)
        keys, values = heads.chunk(2, dim=1)
        return keys, values

    def forward(
        self,
        x: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        documents: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Activations (B, T, C) and what ``keys_and_values`` gave -> (B, T, C); ``documents``: of ``Sight``."""
        queries = self.query(x).unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)  # (B, H, T, D)
        return self.mix(queries, keys, values, Sight(causal=False, documents=documents))


def use_attention(model: nn.Module, name: str) -> None:
    """Every attention layer of the model works by ``ATTENTIONS[name]`` from now on."""
    for module in model.modules():
        if isinstance(module, AttentionLayer):
            module.attend = ATTENTIONS[name]
