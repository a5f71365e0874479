"""The task of sorting texts: cross-entropy of their classes, in nats.

In: a model ``token ids -> logits`` and batches of framed texts (``homespun.batches.labelled``). Out: sums. In training
a class may weigh more than another (``ClassifierConfig.class_weights``); in evaluation all weigh the same.
"""

from typing import Any

import torch

from homespun.batches.batch import IGNORED, Batch


class TextClasses:
    """Nats, targets, and texts whose likeliest class is the right one."""

    measures = ("accuracy",)

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: a ``Classifier``."""
        logits = model(batch.inputs, batch.documents).float()  # (B, V)
        weights = model.class_weights if model.training else None
        total = torch.nn.functional.cross_entropy(logits, batch.targets, weights, ignore_index=IGNORED, reduction="sum")
        return total, (batch.targets != IGNORED).sum(), (logits.argmax(-1) == batch.targets).sum()

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens (rows, T), as long as the longest text."""
        tokens = torch.randint(0, config.body.vocabulary_size, (rows, config.positions_in_row))
        return Batch(tokens, torch.randint(0, config.outputs, (rows,)), documents=torch.ones_like(tokens))
