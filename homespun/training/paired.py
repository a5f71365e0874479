"""The task of translation, of a model that is finetuned: cross-entropy of each token of the target, in nats."""

from dataclasses import replace
from typing import Any

import torch

from homespun.batches.batch import Batch
from homespun.training.losses import Translation


class Paired(Translation):
    """The same as for the body alone."""

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: a ``Finetuned`` of a ``PairedConfig``."""
        return super().loss(model.body, batch)

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens, sources and targets as long as the rows: (rows, T)."""
        return super().example(replace(config.body, context=config.positions_in_row), rows)
