"""The exact validation loss: every target of the split once, nothing sampled.

``nats per token`` is the mean cross-entropy; ``bits per byte`` divides the same sum by the bytes of the
text, so that models with different tokenizers, and gzip, can be compared. That means something only where the targets
are a whole text, told one after the other. Tasks may count more, such as right answers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import nn

from homespun.batches.batch import Batch
from homespun.training.precision import autocast
from homespun.training.world import World


@dataclass(frozen=True)
class ExactLoss:
    """``loss`` in nats per token, ``bits_per_byte`` of the split's text, and what they were computed from.

    ``measures``: means over all targets of what else the task counts. What is no text has no bits per byte.
    """

    loss: float
    bits_per_byte: float | None
    tokens: int
    measures: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def exact_loss(
    objective: nn.Module,
    batches: Iterable[Batch],
    text_bytes: int | None,
    device: torch.device,
    precision: str,
    world: World = World(),
    measures: tuple[str, ...] = (),
) -> ExactLoss:
    """Mean over all targets of ``batches``; ``text_bytes`` is the UTF-8 length of the text they encode, if they do.

    ``objective``: ``batch -> (sum, count, sums of the measures)``. Several processes take a share of every batch each.
    """
    was_training = objective.training
    objective.eval()
    sums = torch.zeros(2 + len(measures), dtype=torch.float64)
    for batch in batches:
        part = batch if world.shares == 1 else batch.share(world.share, world.shares)
        with autocast(device, precision):
            sums += torch.stack([one.double() for one in objective(part.to(device))]).cpu()
    objective.train(was_training)
    nats, count = (sums := world.sum(sums))[:2].tolist()
    loss, _, *means = (sums / sums[1]).tolist()
    bits_per_byte = None if text_bytes is None else nats / math.log(2) / text_bytes
    return ExactLoss(loss, bits_per_byte, int(count), dict(zip(measures, means, strict=True)))
