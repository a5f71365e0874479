"""What a batch costs: the objective of a task, as a sum of nats and the number of targets behind it.

A task is any object with ``loss(model, batch) -> (sum, count)``; the loop divides by the count of the
whole step, so that accumulation over micro-batches, and over processes, equals one large batch.
"""

from typing import Any, Protocol

import torch
from torch import nn

from homespun.batches.batch import IGNORED, Batch
from homespun.training.cross_entropy import read_out_cross_entropy


class Task(Protocol):
    """An objective: sum of losses (0-d tensor, nats) and how many targets it sums over."""

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]: ...


class NextToken:
    """Cross-entropy of each next token, in nats; logits are made and forgotten a piece at a time."""

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """``model``: with ``hidden``, ``head`` and a ``config``, as decoders have."""
        hidden = model.hidden(batch.inputs)  # (B, T, C)
        total = read_out_cross_entropy(
            hidden.flatten(0, 1), model.head.weight, batch.targets.flatten(), model.config.logit_softcap
        )
        return total, (batch.targets != IGNORED).sum()


class Objective(nn.Module):
    """Model and task as one module, ``batch -> (sum, count)``: what is compiled, replicated or sharded as a whole."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return self.task.loss(self.model, batch)
