"""What a batch costs: the objective of a task, as a sum of nats and the number of targets behind it.

A task is any object with ``loss(model, batch) -> (sum, count)``; the loop divides by the count of the
whole step, so that accumulation over micro-batches equals one large batch.
"""

from typing import Protocol

import torch
from torch import nn

from homespun.batches.batch import IGNORED, Batch


class Task(Protocol):
    """An objective: sum of losses (0-d tensor, nats) and how many targets it sums over."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]: ...


class NextToken:
    """Cross-entropy of each next token, in nats."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(batch.inputs)  # (B, T, V)
        total = nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return total, (batch.targets != IGNORED).sum()
