"""Texts with labels as batches: token ids and classes in, rows filled up to about the longest of a batch out.

    inputs     (B, T)  the marks around a text and its ids, filled up with 0 to one of a few lengths
    documents  (B, T)  1, and 0 for what fills up
    targets    (B,)    the numbers of the classes

A ``Frame`` is what stands around a text, the same in training and afterwards. A model that reads from left to right
begins as in its pretraining, with the end of the text before, so no row is empty, and is read off at the last token; an
encoder has its marks around the text and is read off at the first. A text longer than a window is cut into several,
each in a frame of its own, one behind the other in the row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from homespun.batches.batch import Batch
from homespun.batches.hiding import id_of
from homespun.batches.lengths import row_length
from homespun.tokenizer.special import CLASS, SEPARATOR
from homespun.tokenizer.tokenizer import TokenBatch, Tokenizer

Framed = tuple[tuple[int, ...], tuple[int, ...]]


def of_the_last(end_of_text: int, special_tokens: Mapping[str, int]) -> Framed:
    """Before a text and behind it, for models that are read off at the last token."""
    return (end_of_text,), ()


def of_the_first(end_of_text: int, special_tokens: Mapping[str, int]) -> Framed:
    """For those that are read off at the first."""
    return (id_of(CLASS, special_tokens),), (id_of(SEPARATOR, special_tokens),)


FRAMES: dict[str, Callable[[int, Mapping[str, int]], Framed]] = {"last": of_the_last, "first": of_the_first}


@dataclass(frozen=True)
class Frame:
    """Ids ``before`` and ``behind`` a text in each of at most ``windows`` windows, of ``window`` tokens at most."""

    before: tuple[int, ...]
    behind: tuple[int, ...]
    window: int
    windows: int = 1

    @staticmethod
    def of(summarized_at: str, window: int, windows: int, tokenizer: Tokenizer) -> "Frame":
        """For a model that is read off there (``TextModelConfig.summarized_at``)."""
        return Frame(*FRAMES[summarized_at](tokenizer.end_of_text, tokenizer.special_tokens), window, windows)

    @property
    def marks(self) -> int:
        """Places of a window that are not text."""
        return len(self.before) + len(self.behind)

    @property
    def room_of_window(self) -> int:
        """Tokens of a text that one window holds."""
        return max(0, self.window - self.marks)

    @property
    def room(self) -> int:
        """Tokens of a text that are read."""
        return self.windows * self.room_of_window

    def length(self, tokens: np.ndarray) -> np.ndarray:
        """How long the rows of texts with so many ``tokens`` are: all windows but the last are full."""
        read = np.minimum(tokens, self.room)
        full = np.maximum(0, read - 1) // max(1, self.room_of_window)
        return read + (full + 1) * self.marks

    def row(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """The beginning of a text in its frames, int64 (T,)."""
        read, step = ids[: self.room], max(1, self.room_of_window)
        starts = range(0, max(1, len(read)), step)
        parts = [part for start in starts for part in (self.before, read[start : start + step], self.behind)]
        return np.concatenate([np.asarray(part, np.int64) for part in parts])


class LabelledRows:
    """Texts in their frames, and their classes (N,), by number (``homespun.batches.like_length.Rows``).

    ``texts`` stay as they were encoded, 4 bytes a token; a row is made when its batch is.
    """

    def __init__(self, texts: TokenBatch, frame: Frame, classes: np.ndarray) -> None:
        self.texts = texts
        self.frame = frame
        self.classes = classes.astype(np.int64)
        self.whole = np.diff(texts.starts)  # (N,) tokens of each text
        self.lengths = frame.length(self.whole)
        self.longest = int(self.lengths.max(initial=0))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def cropped(self) -> int:
        """How many texts are longer than is read of them."""
        return int((self.whole > self.frame.room).sum())

    def by_length(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[np.argsort(self.lengths[numbers], kind="stable")]

    def batch(self, numbers: np.ndarray) -> Batch:
        longest = int(self.lengths[numbers].max())
        inputs = np.zeros((len(numbers), row_length(longest, min(self.frame.window, self.longest))), np.int64)
        documents = np.zeros_like(inputs)
        for place, number in enumerate(numbers.tolist()):
            row = self.frame.row(self.texts[number])
            inputs[place, : len(row)], documents[place, : len(row)] = row, 1
        targets = torch.from_numpy(self.classes[numbers])
        return Batch(torch.from_numpy(inputs), targets, documents=torch.from_numpy(documents))
