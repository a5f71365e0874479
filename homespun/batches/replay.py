"""Batches of a field's text with some windows of general text in each: two sources of batches in, one out.

Batch number n is batch n of the one and batch n of the other, below each other. An epoch is one of the field's text.
"""

import torch

from homespun.batches.batch import Batch
from homespun.batches.sources import Batches


class WithReplay:
    """Random access (``homespun.batches.sources.Batches``); both have inputs and targets of the same length alone."""

    def __init__(self, field: Batches, general: Batches) -> None:
        self.field, self.general = field, general
        self.windows = field.windows

    def batch(self, number: int) -> Batch:
        """Batch ``number`` (from 0): inputs and targets (B, T)."""
        parts = (self.field.batch(number), self.general.batch(number))
        return Batch(torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts]))
