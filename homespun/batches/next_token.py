"""Batches for next-token prediction: windows of T + 1 consecutive tokens; the target is the next token.

``NextTokenBatches`` (training): which windows make batch number n is a pure function of the seed and
n; one of several processes makes only its own rows of it. An epoch visits every window once, in an order of
its own; each epoch's windows begin at an offset of its own, so that texts are not always cut at the same places.

``validation_batches``: every token of the validation split is predicted exactly once, in order.
"""

from collections.abc import Iterator

import numpy as np
import torch

from homespun.batches.batch import IGNORED, Batch
from homespun.batches.order import key_of, permute
from homespun.batches.shards import TokenShards
from homespun.common.errors import HomespunError


class NextTokenBatches:
    """Random access to training batches: ``batch(n)`` for any n, in constant time."""

    def __init__(
        self, shards: TokenShards, context: int, batch_size: int, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        """``context`` T tokens, ``batch_size`` B windows; this process makes part ``rank`` of ``processes`` parts."""
        self.shards = shards
        self.context = context
        self.batch_size = batch_size
        self.seed = seed
        self.rows = batch_size // processes
        self.first_row = rank * self.rows
        # One window less than fits, so that any offset below T leaves room for all of them.
        self.windows = (len(shards) - 1) // context - 1
        if self.windows < 1:
            raise HomespunError(
                f"the training text has {len(shards):,} tokens, too few for a context of {context}: "
                f"add text or set --model.context to {max(1, (len(shards) - 1) // 2)} or less"
            )

    def starts(self, first: int, count: int) -> np.ndarray:
        """Where windows number ``first`` … ``first + count - 1`` of the endless row of epochs begin."""
        numbers = np.arange(first, first + count, dtype=np.int64)
        epochs, places = numbers // self.windows, numbers % self.windows
        starts = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            key = key_of(self.seed, int(epoch))
            chosen = epochs == epoch
            starts[chosen] = permute(places[chosen], self.windows, key) * self.context + key % self.context
        return starts

    def batch(self, number: int) -> Batch:
        """Batch ``number`` (from 0): inputs and targets (B, T), or this process's rows of them."""
        starts = self.starts(number * self.batch_size + self.first_row, self.rows)
        rows = np.stack([self.shards.read(int(start), self.context + 1) for start in starts])  # (B, T + 1)
        tokens = torch.from_numpy(rows)
        return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def validation_batches(shards: TokenShards, context: int, batch_size: int) -> Iterator[Batch]:
    """Cut the split into windows side by side; the last one is filled up with ignored targets."""
    targets = len(shards) - 1
    starts = list(range(0, targets, context))
    for begin in range(0, len(starts), batch_size):
        chosen = starts[begin : begin + batch_size]
        inputs = np.zeros((len(chosen), context), dtype=np.int64)
        wanted = np.full((len(chosen), context), IGNORED, dtype=np.int64)
        for row, start in enumerate(chosen):
            length = min(context, targets - start)
            window = shards.read(start, length + 1)
            inputs[row, :length], wanted[row, :length] = window[:-1], window[1:]
        yield Batch(torch.from_numpy(inputs), torch.from_numpy(wanted))
