"""The task of pretraining, of a model that is finetuned: cross-entropy of each next token, in nats."""

from dataclasses import replace
from typing import Any

import torch

from homespun.batches.batch import Batch
from homespun.training.losses import NextToken


class Continued(NextToken):
    """The same as for the body alone."""

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: a ``Finetuned`` of a ``ContinuedConfig``."""
        return super().loss(model.body, batch)

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens, each the target of the one before: (rows, T)."""
        return super().example(replace(config.body, context=config.positions_in_row), rows)
