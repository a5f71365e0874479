"""What a batch costs: the objective of a task, as a sum of nats and the number of targets behind it.

A task is any object with ``loss(model, batch) -> (sum, count, …)``; the loop divides by the count of the
whole step, so that accumulation over micro-batches, and over processes, equals one large batch.
"""

from typing import Any, Protocol

import torch
from torch import nn

from homespun.batches.batch import IGNORED, Batch
from homespun.training.cross_entropy import read_out_cross_entropy


class Task(Protocol):
    """An objective: sum of losses (0-d tensor, nats) and how many targets it sums over.

    ``measures``: names of further sums over the same targets, which follow these two in evaluation; validation tells
    their means.
    """

    @property
    def measures(self) -> tuple[str, ...]: ...

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]: ...

    def example(self, config: Any, rows: int) -> Batch:
        """A batch of chance numbers, of the form and size of the real ones: for measuring and counting."""
        ...


class NextToken:
    """Cross-entropy of each next token, in nats; logits are made and forgotten a piece at a time."""

    measures: tuple[str, ...] = ()

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: a ``LanguageModel``."""
        hidden = model.hidden(batch.inputs, documents=batch.documents)  # (B, T, C)
        total = read_out_cross_entropy(
            hidden.flatten(0, 1), model.head.weight, batch.targets.flatten(), model.logit_softcap
        )
        count = (batch.targets != IGNORED).sum()
        if model.training and (penalty := model.penalty()) is not None:
            # It has a gradient but no value: the loss that is told stays that of the text.
            total = total + count * (penalty - penalty.detach())
        return total, count

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens, each the target of the one before: (rows, T)."""
        tokens = torch.randint(0, config.vocabulary_size, (rows, config.context + 1))
        return Batch(tokens[:, :-1], tokens[:, 1:])


class Translation:
    """Cross-entropy of each token of a target text, given the source text and the tokens before it.

    In training a share of what is wanted, ``config.label_smoothing``, is spread over all tokens (Vaswani et al. 2017,
    section 5.4); in evaluation the loss is the plain one.
    """

    measures: tuple[str, ...] = ()

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: an ``EncoderDecoder``."""
        hidden = model.hidden(batch.inputs, model.read(batch.source, batch.source_documents))  # (B, T, C)
        total = read_out_cross_entropy(
            hidden.flatten(0, 1),
            model.head.weight,
            batch.targets.flatten(),
            bias=model.head.bias,
            smoothing=model.config.label_smoothing if model.training else 0.0,
        )
        return total, (batch.targets != IGNORED).sum()

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens, sources and targets as long as the context: (rows, T)."""
        source = torch.randint(0, config.vocabulary_size, (rows, config.context))
        tokens = torch.randint(0, config.vocabulary_size, (rows, config.context + 1))
        return Batch(tokens[:, :-1], tokens[:, 1:], source=source, source_documents=torch.ones_like(source))


class Objective(nn.Module):
    """Model and task as one module, ``batch -> sums``: what is compiled, replicated or sharded as a whole."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        return self.task.loss(self.model, batch)
