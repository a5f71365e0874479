"""A table of one row for each token, of which all rows stay but a few that learn.

For finetunings that hold the embeddings still: the control tokens of a conversation mean nothing yet to a model that
has read running text alone, and no low-rank difference elsewhere gives them rows of their own. Only those few rows have
gradients and a place in the optimizer.

Shapes: V tokens, C width, n tokens that learn.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class LearnedRows(nn.Module):
    """``fixed`` (V, C), and ``rows`` (n, C) in the place of those of ``tokens`` (n)."""

    tokens: torch.Tensor

    def __init__(self, fixed: nn.Parameter, tokens: torch.Tensor, rows: nn.Parameter) -> None:
        super().__init__()
        self.fixed, self.rows = fixed, rows
        self.register_buffer("tokens", tokens, persistent=False)

    @property
    def weight(self) -> torch.Tensor:
        """The whole table (V, C)."""
        return self.fixed.index_copy(0, self.tokens, self.rows)


class EmbeddingOfLearnedRows(LearnedRows):
    """Token ids (…) -> rows (…, C)."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(tokens, self.weight)


class ReadOutOfLearnedRows(LearnedRows):
    """Activations (…, C) -> logits (…, V)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight)


def learn_rows(model: Any, tokens: Sequence[int]) -> None:
    """Let the embedding and the head of a ``LanguageModel`` learn the rows of ``tokens``; all others are held still.

    Tied tables stay tied.
    """
    embedding, head = model.token_embedding.weight, model.head.weight
    places = torch.tensor(list(tokens))
    model.token_embedding = EmbeddingOfLearnedRows(held(embedding), places, rows_of(embedding, places))
    if head is embedding:
        model.head = ReadOutOfLearnedRows(embedding, places, model.token_embedding.rows)
    else:
        model.head = ReadOutOfLearnedRows(held(head), places, rows_of(head, places))


def held(weight: nn.Parameter) -> nn.Parameter:
    """It does not move."""
    weight.requires_grad_(False)
    return weight


def rows_of(weight: nn.Parameter, places: torch.Tensor) -> nn.Parameter:
    """Copies of some rows, which do."""
    return nn.Parameter(weight.detach()[places.to(weight.device)].clone())


@torch.no_grad()
def settle_rows(model: Any) -> None:
    """Plain tables again, with the rows as they were learned; in place."""
    if not isinstance(model.token_embedding, LearnedRows):
        return
    tied = model.head.fixed is model.token_embedding.fixed
    embedding = nn.Parameter(model.token_embedding.weight)
    head = embedding if tied else nn.Parameter(model.head.weight)
    model.token_embedding = nn.Embedding(embedding.shape[0], embedding.shape[1], _weight=embedding)
    model.token_embedding.weight = embedding
    model.head = nn.Linear(head.shape[1], head.shape[0], bias=False, device="meta")
    model.head.weight = head
