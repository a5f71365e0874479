"""Attention in six steps of a few lines, from a mean of similar vectors to grouped queries; each grows out of the last.

The way of *Build a Large Language Model (From Scratch)*, chapter 3, gone on to Ainslie et al. 2023. These are for
reading and for drawing: they return, beside the mixed vectors (B, T, C), the weights by which they were mixed. Models
use ``homespun.layers.attention``, which does the same in fewer and larger products (tested equal).

    python -m homespun.layers.attention_steps        (prints the weights of three words at each step)
"""

from collections.abc import Callable

import torch
from torch import nn

Dropout = Callable[[torch.Tensor], torch.Tensor]


def mean_of_similar(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Step 1, nothing to learn: each position becomes a mean of all, weighted by how alike they are."""
    weights = (x @ x.transpose(1, 2)).softmax(-1)  # (B, T, T)
    return weights @ x, weights


class SelfAttention(nn.Module):
    """Step 2, with weights to be learned: what is compared (queries, keys) and what is passed on (values) part ways."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, head_width, bias=False)
        self.key = nn.Linear(width, head_width, bias=False)
        self.value = nn.Linear(width, head_width, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries, keys, values = self.query(x), self.key(x), self.value(x)  # (B, T, D)
        scores = queries @ keys.transpose(1, 2) / queries.shape[-1] ** 0.5  # (B, T, T)
        weights = scores.softmax(-1)
        return weights @ values, weights


class CausalAttention(SelfAttention):
    """Step 3, for text that is not there yet: no position sees a later one; some weights are dropped in training."""

    def __init__(self, width: int, head_width: int, dropout: float = 0.0) -> None:
        super().__init__(width, head_width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries, keys, values = self.query(x), self.key(x), self.value(x)  # (B, T, D)
        scores = queries @ keys.transpose(1, 2) / queries.shape[-1] ** 0.5  # (B, T, T)
        later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        weights = self.dropout(scores.masked_fill(later, float("-inf")).softmax(-1))
        return weights @ values, weights


class HeadsSideBySide(nn.Module):
    """Step 4, several heads: each looks for something else; what they find stands side by side, and is mixed."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = nn.ModuleList(CausalAttention(width, width // heads, dropout) for _ in range(heads))
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mixed, weights = zip(*(head(x) for head in self.heads), strict=True)
        return self.output(torch.cat(mixed, dim=-1)), torch.stack(weights, dim=1)  # (B, T, C), (B, H, T, T)


class MultiHeadAttention(nn.Module):
    """Step 5, the same at once: one product for all heads, which are then only another axis of the tensor."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries, keys, values = (split_heads(part(x), self.heads) for part in (self.query, self.key, self.value))
        mixed, weights = attend_causally(queries, keys, values, self.dropout)
        return self.output(join_heads(mixed)), weights


class GroupedQueryAttention(MultiHeadAttention):
    """Step 6, fewer keys and values than queries: several query heads share a key-value head, and the cache shrinks."""

    def __init__(self, width: int, heads: int, key_value_heads: int, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout)
        self.key_value_heads = key_value_heads
        self.key = nn.Linear(width, width // heads * key_value_heads, bias=False)
        self.value = nn.Linear(width, width // heads * key_value_heads, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries = split_heads(self.query(x), self.heads)  # (B, H, T, D)
        keys, values = (split_heads(part(x), self.key_value_heads) for part in (self.key, self.value))  # (B, K, T, D)
        mixed, weights = attend_causally(queries, keys, values, self.dropout)
        return self.output(join_heads(mixed)), weights


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, H D) -> (B, H, T, D)."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)


def join_heads(x: torch.Tensor) -> torch.Tensor:
    """(B, H, T, D) -> (B, T, H D)."""
    return x.transpose(1, 2).flatten(2)


def attend_causally(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, dropout: Dropout
) -> tuple[torch.Tensor, torch.Tensor]:
    """Step 3 for all heads: (B, H, T, D), twice (B, K, T, D) -> (B, H, T, D) and the weights (B, H, T, T)."""
    share = queries.shape[1] // keys.shape[1]
    keys, values = (part.repeat_interleave(share, dim=1) for part in (keys, values))  # (B, H, T, D)
    scores = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    weights = dropout(scores.masked_fill(later, float("-inf")).softmax(-1))
    return weights @ values, weights


def show() -> None:
    """The weights of three words at each step, from chance weights."""
    torch.manual_seed(1)
    x = torch.randn(1, 3, 8)
    steps = {
        "1 mean of similar vectors": mean_of_similar,
        "2 queries, keys and values": SelfAttention(8, 8),
        "3 no position sees a later one": CausalAttention(8, 8),
        "4 two heads side by side": HeadsSideBySide(8, 2),
        "5 two heads at once": MultiHeadAttention(8, 2),
        "6 four heads, two share a key": GroupedQueryAttention(8, 4, 2),
    }
    with torch.no_grad():
        for name, step in steps.items():
            _, weights = step(x)
            rows = weights.flatten(0, -3)[0] if weights.dim() == 4 else weights[0]
            print(name, *("   ".join(f"{weight:.2f}" for weight in row) for row in rows.tolist()), sep="\n   ")


if __name__ == "__main__":
    show()
