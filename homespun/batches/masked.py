"""Batches for masked tokens: rows in which some tokens are hidden, and what stood there.

``MaskedBatches`` (training): the windows of an epoch in an order of its own, as for next-token prediction; which tokens
of a row are hidden, and by what, is a function of the seed and the row's number in the whole training, so it is another
choice in every epoch, and the same for any number of processes and workers.

``masked_validation``: every token of the split is told exactly once. Each row is read in several passes; in each of
them another share of its tokens, chosen by a fixed lot, is hidden by the mask. The loss over all of it is therefore
the mean, over every token of the text, of its surprise when it and that share of its neighbours cannot be seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from homespun.batches.batch import Batch
from homespun.batches.framing import Framing, Row
from homespun.batches.hiding import Exercise, Hiding
from homespun.batches.next_token import NextTokenBatches
from homespun.batches.order import key_of
from homespun.batches.shards import TokenShards
from homespun.common.errors import HomespunError

VALIDATION_KEY = 0  # the same lots in every run


@dataclass(frozen=True)
class MaskedRows:
    """What the rows of a run are like: ``context`` T tokens each, a ``share`` of the text in them hidden."""

    framing: Framing
    hiding: Hiding
    context: int
    share: float

    @property
    def text(self) -> int:
        """Tokens of text in a row."""
        return self.context - self.framing.marks_in_row

    @property
    def hidden(self) -> int:
        """Tokens that are hidden in a row in training."""
        return hidden_in_row(self.text, self.share)


def hidden_in_row(text: int, share: float) -> int:
    """So many of ``text`` tokens: the share, at least one."""
    return max(1, round(share * text))


class MaskedBatches:
    """Random access to training batches: ``batch(n)`` for any n, in constant time."""

    def __init__(
        self, shards: TokenShards, rows: MaskedRows, batch_size: int, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        """``batch_size`` B rows; this process makes part ``rank`` of ``processes`` parts."""
        if (len(shards) - 1) // rows.text < 2:
            enough = (len(shards) - 1) // 2 + rows.framing.marks_in_row
            raise HomespunError(
                f"the training text has {len(shards):,} tokens, too few for a context of {rows.context}: "
                f"add text or set --model.context to {enough} or less"
            )
        self.shards = shards
        self.rows = rows
        self.seed = seed
        self.order = NextTokenBatches(shards, rows.text, batch_size, seed, rank, processes)
        self.windows = self.order.windows

    def batch(self, number: int) -> Batch:
        """Batch ``number`` (from 0), or this process's rows of it."""
        first = number * self.order.batch_size + self.order.first_row
        starts = self.order.starts(first, self.order.rows)
        rows, exercises = [], []
        for place, start in enumerate(starts.tolist(), first):
            key = key_of(self.seed, place)
            row = self.rows.framing.training_row(self.shards.read, start, self.rows.text, key, len(self.shards))
            rows.append(row)
            exercises.append(self.rows.hiding.at_random(row.tokens, self.rows.hidden, key_of(key, 1)))
        return batch_of(rows, exercises)


def masked_validation(shards: TokenShards, rows: MaskedRows, passes: int, batch_size: int) -> Iterator[Batch]:
    """The whole split, ``batch_size`` rows at once, ``passes`` times; the last row is padded."""
    chosen: list[tuple[Row, list[Exercise]]] = []
    count = -(-rows.text // passes)
    for number, row in enumerate(rows.framing.validation_rows(shards.read, rows.text, len(shards))):
        exercises = rows.hiding.in_turn(row.tokens, passes, count, key_of(VALIDATION_KEY, number))
        chosen.append((row, list(exercises)))
        if len(chosen) == batch_size:
            yield from batches_of_passes(chosen, rows.context)
            chosen = []
    if chosen:
        yield from batches_of_passes(chosen, rows.context)


def batches_of_passes(chosen: list[tuple[Row, list[Exercise]]], context: int) -> Iterator[Batch]:
    """One batch for each pass over these rows."""
    rows = [row for row, _ in chosen]
    for exercises in zip(*(exercises for _, exercises in chosen), strict=True):
        yield batch_of(rows, exercises, context)


def batch_of(rows: Sequence[Row], exercises: Sequence[Exercise], length: int = 0) -> Batch:
    """Rows and what is hidden in them, as tensors; rows shorter than ``length`` are padded, and then have documents."""
    length = length or len(rows[0].tokens)
    documents = None
    if any(len(row.tokens) < length for row in rows):
        documents = stacked([np.ones(len(row.tokens), np.int64) for row in rows], length)
    segments = [row.segments for row in rows if row.segments is not None]
    follows = [row.follows for row in rows if row.follows is not None]
    return Batch(
        inputs=stacked([exercise.inputs for exercise in exercises], length),
        targets=stacked([exercise.targets for exercise in exercises]),
        documents=documents,
        segments=stacked(segments, length) if segments else None,
        places=stacked([exercise.places for exercise in exercises]),
        follows=torch.tensor(follows) if follows else None,
    )


def stacked(rows: Sequence[np.ndarray], length: int = 0) -> torch.Tensor:
    """Rows (T,) on top of each other, filled up with zeros to ``length``."""
    filled = np.zeros((len(rows), length or len(rows[0])), dtype=np.int64)
    for place, row in zip(filled, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(filled)
