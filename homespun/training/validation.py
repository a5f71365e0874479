"""The exact validation loss: every target of the split once, nothing sampled.

``nats per token`` is the mean cross-entropy; ``bits per byte`` divides the same sum by the bytes of the
text, so that models with different tokenizers, and gzip, can be compared.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from homespun.batches.batch import Batch
from homespun.training.losses import Task
from homespun.training.precision import autocast


@dataclass(frozen=True)
class ExactLoss:
    """``loss`` in nats per token, ``bits_per_byte`` of the split's text, and what they were computed from."""

    loss: float
    bits_per_byte: float
    tokens: int


@torch.inference_mode()
def exact_loss(
    model: nn.Module, task: Task, batches: Iterable[Batch], text_bytes: int, device: torch.device, precision: str
) -> ExactLoss:
    """Mean over all targets of ``batches``; ``text_bytes`` is the UTF-8 length of the text they encode."""
    was_training = model.training
    model.eval()
    nats, count = torch.zeros((), dtype=torch.float64), 0
    for batch in batches:
        with autocast(device, precision):
            total, targets = task.loss(model, batch.to(device))
        nats += total.cpu()
        count += int(targets)
    model.train(was_training)
    return ExactLoss(float(nats) / count, float(nats) / math.log(2) / text_bytes, count)
