"""Batches of a field's text with some windows of general text in each: two sources of batches in, one out.

Batch number n is batch n of the one and batch n of the other, below each other. Both are made whole, and one of several
processes takes its rows of them: how much of a step is general text depends on no number of processes. An epoch is one
of the field's text.
"""

import torch

from homespun.batches.batch import Batch
from homespun.batches.next_token import NextTokenBatches


class WithReplay:
    """Random access (``homespun.batches.sources.Batches``); both are of windows of the same length."""

    def __init__(self, field: NextTokenBatches, general: NextTokenBatches, rank: int = 0, processes: int = 1) -> None:
        """Two sources of whole batches; this process takes part ``rank`` of ``processes`` parts of the rows."""
        self.field, self.general = field, general
        rows = field.batch_size + general.batch_size
        self.windows = max(1, field.windows * rows // field.batch_size)  # those of general text among them
        self.first_row, self.rows = rank * (rows // processes), rows // processes

    def batch(self, number: int) -> Batch:
        """Batch ``number`` (from 0): inputs and targets (B, T), or this process's rows of them."""
        parts = (self.field.batch(number), self.general.batch(number))
        whole = Batch(torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts]))
        return whole.rows(self.first_row, self.first_row + self.rows)
