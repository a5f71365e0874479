"""What every model has that reads text from left to right: embedded tokens in, logits for the next token out.

A subclass writes ``hidden`` and ``new_cache``; reading logits off, and what training and inference ask for, is here.

Shapes: B batch, T positions in this call, C width, V vocabulary.
"""

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from homespun.layers.softcap import SoftCap
from homespun.models.settings import TextModelConfig

C = TypeVar("C", bound=TextModelConfig)


class Cache(Protocol):
    """What a model remembers of the tokens so far, so that each is computed once; its form is the model's own."""

    @property
    def length(self) -> int:
        """How many tokens it has been given."""
        ...

    def clear(self) -> None:
        """Forget them."""
        ...


class LanguageModel(nn.Module, ABC, Generic[C]):
    """Token ids to activations to logits. A subclass ends its ``__init__`` with the head.

    ``read_out``: the parts behind the activations, which nobody needs who only reads texts.
    """

    head: nn.Linear
    read_out = ("head",)

    def __init__(self, config: C, logit_softcap: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.logit_softcap = logit_softcap
        self.token_embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.softcap = SoftCap(logit_softcap) if logit_softcap else nn.Identity()

    def make_head(self) -> nn.Linear:
        """The read-out: a matrix of its own, or the token embedding."""
        head = nn.Linear(self.config.width, self.config.vocabulary_size, bias=False)
        if self.config.tied_embeddings:
            head.weight = self.token_embedding.weight
        return head

    @abstractmethod
    def hidden(self, tokens: torch.Tensor, cache: Any = None, documents: torch.Tensor | None = None) -> torch.Tensor:
        """Token ids (B, T) -> activations (B, T, C) before the head; a cache continues earlier calls.

        ``documents`` (B, T): which text of its row a token belongs to; it knows nothing of the others.
        """

    @abstractmethod
    def new_cache(self, batch: int) -> Cache:
        """An empty cache for ``batch`` sequences."""

    def penalty(self) -> torch.Tensor | None:
        """What training adds to the mean loss, of the last ``hidden`` in training (0-d); None for most models."""
        return None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Activations (…, C), all or a part of them -> logits (…, V) for the token after each."""
        return self.softcap(self.head(hidden))

    def forward(
        self, tokens: torch.Tensor, cache: Cache | None = None, documents: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Token ids (B, T) -> logits (B, T, V) for the token after each."""
        return self.logits(self.hidden(tokens, cache, documents))
