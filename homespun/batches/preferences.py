"""Batches of preferences: a question with two answers, of which the first was preferred.

In: rows of ids (``homespun.batches.answer_rows``), the chosen answers at even numbers, the rejected ones behind them;
and what the base thinks of each. Out: batches with

    inputs     (B, 2, T)  ids of both, filled up with 0
    documents  (B, 2, T)  1, and 0 for what fills up
    places     (B, 2, K)  before which tokens of the answer, filled up with 0: no answer begins at the second token
    reference  (B, 2)     logarithms of the answers' probabilities, as the base has them
    targets    (B,)       which is preferred: always 0, the first
"""

import numpy as np
import torch

from homespun.batches.answer_rows import AnswerRows
from homespun.batches.batch import Batch
from homespun.batches.conversations import gathered_places


class PreferenceRows:
    """Pairs of answers (``homespun.batches.like_length.Rows``). ``reference`` (N, 2)."""

    def __init__(self, rows: AnswerRows, reference: np.ndarray) -> None:
        self.rows = rows
        self.reference = reference.astype(np.float32)
        self.lengths = rows.lengths.reshape(-1, 2).max(1)

    def __len__(self) -> int:
        return len(self.lengths)

    def by_length(self, numbers: np.ndarray) -> np.ndarray:
        """The same pairs by their longer answer, the shortest first."""
        return numbers[np.argsort(self.lengths[numbers], kind="stable")]

    def batch(self, numbers: np.ndarray) -> Batch:
        """These pairs, filled up to the longest of them."""
        inputs = np.zeros((2 * len(numbers), self.lengths[numbers].max()), np.int64)
        documents, answers = np.zeros_like(inputs), np.zeros_like(inputs, bool)
        for row, number in enumerate(numbers.tolist()):
            for which in (0, 1):
                ids, learned = self.rows.row(2 * number + which)
                inputs[2 * row + which, : len(ids)], documents[2 * row + which, : len(ids)] = ids, 1
                answers[2 * row + which, : len(ids)] = learned
        places = np.maximum(gathered_places(answers[:, 1:]), 0)
        by_pair = (len(numbers), 2, -1)
        return Batch(
            torch.from_numpy(inputs.reshape(by_pair)),
            torch.zeros(len(numbers), dtype=torch.long),
            documents=torch.from_numpy(documents.reshape(by_pair)),
            places=torch.from_numpy(places.reshape(by_pair)),
            reference=torch.from_numpy(self.reference[numbers]),
        )
