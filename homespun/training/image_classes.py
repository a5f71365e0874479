"""The task of naming what images show: cross-entropy of their classes, and how many are named rightly.

In: a model ``images -> logits`` and batches of images (B, K, H, W) with one target each (B,). Out: sums.
"""

from typing import Any

import torch

from homespun.batches.batch import IGNORED, Batch


class ImageClasses:
    """Nats, targets, and images whose likeliest class is the right one."""

    measures = ("accuracy",)

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: a ``ViT``, or anything that makes logits of images."""
        logits = model(batch.inputs).float()  # (B, V)
        total = torch.nn.functional.cross_entropy(logits, batch.targets, ignore_index=IGNORED, reduction="sum")
        return total, (batch.targets != IGNORED).sum(), (logits.argmax(-1) == batch.targets).sum()

    def example(self, config: Any, rows: int) -> Batch:
        """Chance images (rows, K, S, S)."""
        images = 2 * torch.rand(rows, config.channels, config.image_size, config.image_size) - 1
        return Batch(images, torch.randint(0, config.classes, (rows,)))
