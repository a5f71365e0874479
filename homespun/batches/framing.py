"""How text becomes the rows of BERT: ``[CLS] text [SEP]``, or ``[CLS] first [SEP] second [SEP]``.

Devlin et al. 2019, section 3 and appendix A.2. The first mark belongs to no text: it is where the model may gather what
it has to say of the whole row. A ``Framing`` says how much text a row holds, and makes rows of windows of it.

Pairs: the window is cut in two; every second time, by chance, its second part gives way to as long a piece from
elsewhere. Parts begin and end anywhere, also in the midst of a sentence; the paper cuts between sentences.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from homespun.batches.batch import IGNORED
from homespun.batches.hiding import id_of
from homespun.batches.order import chances
from homespun.tokenizer.special import CLASS, SEPARATOR

FOLLOWS, RANDOM = 0, 1

Read = Callable[[int, int], np.ndarray]  # (start, length) -> token ids (length,)


class Row(NamedTuple):
    """``tokens`` (T,). Of a pair also ``segments`` (T,), 0 and 1 for the texts, and whether the second ``follows``."""

    tokens: np.ndarray
    segments: np.ndarray | None = None
    follows: int | None = None


@dataclass(frozen=True)
class Marks:
    """Ids of the marks between texts."""

    first: int
    separator: int

    @staticmethod
    def of(special_tokens: Mapping[str, int]) -> "Marks":
        """Those of a tokenizer."""
        return Marks(id_of(CLASS, special_tokens), id_of(SEPARATOR, special_tokens))

    def around(self, *texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and segments of a row with these texts."""
        parts = [np.array([self.first]), *(np.append(text, self.separator) for text in texts)]
        segments = [np.zeros(1, np.int64), *(np.full(len(text) + 1, number) for number, text in enumerate(texts))]
        return np.concatenate(parts), np.concatenate(segments)


class Framing(Protocol):
    """``marks_in_row``: places of a row that are not text."""

    @property
    def marks_in_row(self) -> int: ...

    def training_row(self, read: Read, start: int, length: int, key: int, total: int) -> Row:
        """The window of ``length`` tokens at ``start`` of a split of ``total`` tokens, as a row."""
        ...

    def validation_rows(self, read: Read, length: int, total: int) -> Iterator[Row]:
        """The whole split, every token in one row; the last row may be shorter."""
        ...


@dataclass(frozen=True)
class SingleText:
    """One text in a row."""

    marks: Marks
    marks_in_row: int = 2

    def training_row(self, read: Read, start: int, length: int, key: int, total: int) -> Row:
        return Row(self.marks.around(read(start, length))[0])

    def validation_rows(self, read: Read, length: int, total: int) -> Iterator[Row]:
        for start in range(0, total, length):
            yield Row(self.marks.around(read(start, min(length, total - start)))[0])


@dataclass(frozen=True)
class TextPair:
    """Two texts in a row, of which the second follows the first or comes from elsewhere."""

    marks: Marks
    marks_in_row: int = 3

    def training_row(self, read: Read, start: int, length: int, key: int, total: int) -> Row:
        toss, cut, elsewhere = chances(key, 3)
        first = length // 4 + int(cut * (length - 2 * (length // 4) + 1))  # no part below a quarter
        first = min(max(first, 1), length - 1)
        second = start + first if toss < 0.5 else int(elsewhere * (total - (length - first) + 1))
        row = self.marks.around(read(start, first), read(second, length - first))
        return Row(*row, FOLLOWS if toss < 0.5 else RANDOM)

    def validation_rows(self, read: Read, length: int, total: int) -> Iterator[Row]:
        """Windows are cut in the middle. Every second one has the second half of the next such window, around in a
        circle: so each half is in one row, too."""
        first = length // 2
        exchanging = list(range(length, total - length + 1, 2 * length))
        next_one = dict(zip(exchanging, exchanging[1:] + exchanging[:1], strict=True)) if len(exchanging) > 1 else {}
        for start in range(0, total, length):
            cut = min(first, total - start)
            other = next_one.get(start, start) + cut
            second = read(other, min(length - cut, total - other))
            follows = RANDOM if start in next_one else FOLLOWS
            yield Row(*self.marks.around(read(start, cut), second), follows if len(second) else IGNORED)
