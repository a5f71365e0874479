"""Rows of pairs of texts, for a model that is finetuned on them: sides that are too long are cropped, not left out.

In: sources and targets as ids. Out: rows, stored like those of conversations (``homespun.batches.answer_rows``): the
source, the separator, then the target and the end of the text, which are to be learned; and batches of them
(``homespun.batches.pairs``).
"""

from collections.abc import Sequence

import numpy as np

from homespun.batches.answer_rows import AnswerRows, Cropped, Row
from homespun.batches.batch import Batch
from homespun.batches.pairs import filled_up, order_by_length


def row_of_pair(
    source: Sequence[int], target: Sequence[int], separator: int, end_of_text: int, room: int, cropped: Cropped
) -> Row:
    """Each side has ``room`` tokens, with what closes it. A target that is cut does not end."""
    cropped.conversations += 1
    cropped.sources += len(source) >= room
    cropped.cut += len(target) >= room
    read, written = [*source[: room - 1], separator], [*target, end_of_text][:room]
    return Row(read + written, [0] * len(read) + [1] * len(written))


class PairRows:
    """The pairs of a split (``homespun.batches.like_length.Rows``)."""

    def __init__(self, rows: AnswerRows, end_of_text: int) -> None:
        self.rows, self.end_of_text = rows, end_of_text
        learned = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows.learned, dtype=np.int64)])
        self.target_lengths = learned[rows.ends] - learned[rows.starts]
        self.source_lengths = rows.lengths - self.target_lengths

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def longest(self) -> int:
        """Tokens of the longest side."""
        return int(max(self.source_lengths.max(), self.target_lengths.max()))

    def by_length(self, numbers: np.ndarray) -> np.ndarray:
        """The same pairs by their longer side, the shortest first; equally long ones stay in their order."""
        return numbers[order_by_length(self.source_lengths[numbers], self.target_lengths[numbers])]

    def batch(self, numbers: np.ndarray) -> Batch:
        """These pairs, filled up to the longest of them."""
        sides = [np.split(self.rows.row(number)[0], [int(self.source_lengths[number])]) for number in numbers.tolist()]
        return filled_up([source for source, _ in sides], [target for _, target in sides], self.end_of_text)
