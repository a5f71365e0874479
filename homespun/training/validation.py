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
from homespun.training.precision import autocast
from homespun.training.world import World


@dataclass(frozen=True)
class ExactLoss:
    """``loss`` in nats per token, ``bits_per_byte`` of the split's text, and what they were computed from."""

    loss: float
    bits_per_byte: float
    tokens: int


@torch.no_grad()
def exact_loss(
    objective: nn.Module,
    batches: Iterable[Batch],
    text_bytes: int,
    device: torch.device,
    precision: str,
    world: World = World(),
) -> ExactLoss:
    """Mean over all targets of ``batches``; ``text_bytes`` is the UTF-8 length of the text they encode.

    ``objective``: ``batch -> (sum, count)``. Several processes take a share of every batch each.
    """
    was_training = objective.training
    objective.eval()
    nats = torch.zeros((), dtype=torch.float64)
    count = torch.zeros((), dtype=torch.int64)
    for batch in batches:
        part = batch if world.size == 1 else batch.share(world.rank, world.size)
        with autocast(device, precision):
            total, targets = objective(part.to(device))
        nats += total.cpu()
        count += targets.cpu()
    objective.train(was_training)
    nats, count = world.sum(nats), world.sum(count)
    return ExactLoss(float(nats / count), float(nats) / math.log(2) / text_bytes, int(count))
