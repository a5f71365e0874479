"""Batches of conversations: each token is told from those before it, and only those count that are to be learned.

In: rows of ids (``homespun.batches.answer_rows``), and which of them share a row of a batch. Out: batches with

    inputs     (B, T)  ids, each conversation without its last one, filled up with 0
    documents  (B, T)  1, 2 … for the conversations of a row, and 0 for what fills up
    places     (B, K)  after which tokens something is to be learned, filled up with 0
    targets    (B, K)  what, filled up with ``IGNORED``

No target belongs to another conversation than its place, for the first token of one is never a target.
"""

from collections.abc import Sequence

import numpy as np
import torch

from homespun.batches.answer_rows import AnswerRows
from homespun.batches.batch import IGNORED, Batch
from homespun.batches.packing import pack


class ConversationRows:
    """Rows of one conversation each, or of several (``homespun.batches.like_length.Rows``)."""

    def __init__(self, rows: AnswerRows, together: Sequence[Sequence[int]]) -> None:
        self.rows = rows
        self.together = together
        self.lengths = np.array([sum(int(rows.lengths[one]) - 1 for one in several) for several in together], np.int64)

    def __len__(self) -> int:
        return len(self.together)

    def by_length(self, numbers: np.ndarray) -> np.ndarray:
        """The same rows, the shortest first."""
        return numbers[np.argsort(self.lengths[numbers], kind="stable")]

    def batch(self, numbers: np.ndarray) -> Batch:
        """These rows, filled up to the longest of them."""
        inputs = np.zeros((len(numbers), self.lengths[numbers].max()), np.int64)
        documents, wanted = np.zeros_like(inputs), np.full_like(inputs, IGNORED)
        for row, number in enumerate(numbers.tolist()):
            start = 0
            for document, one in enumerate(self.together[number], 1):
                ids, learned = self.rows.row(one)
                part = slice(start, start := start + len(ids) - 1)
                inputs[row, part], documents[row, part] = ids[:-1], document
                wanted[row, part] = np.where(learned[1:], ids[1:], IGNORED)
        places = gathered_places(wanted != IGNORED)
        targets = np.where(places >= 0, np.take_along_axis(wanted, np.maximum(places, 0), 1), IGNORED)
        return Batch(
            torch.from_numpy(inputs),
            torch.from_numpy(targets),
            documents=torch.from_numpy(documents),
            places=torch.from_numpy(np.maximum(places, 0)),
        )


def gathered_places(chosen: np.ndarray) -> np.ndarray:
    """Where each row of a table (B, T) is true: (B, K), filled up with -1."""
    places = np.full((len(chosen), max(1, int(chosen.sum(1).max()))), -1, np.int64)
    for row, found in enumerate(map(np.flatnonzero, chosen)):
        places[row, : len(found)] = found
    return places


def conversation_rows(rows: AnswerRows, room: int, packed: bool) -> ConversationRows:
    """All conversations of a split: as many in a row as fit into ``room`` tokens, or one."""
    together = pack(rows.lengths - 1, room) if packed else [[number] for number in range(len(rows))]
    return ConversationRows(rows, together)
