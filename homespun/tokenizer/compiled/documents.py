"""Documents of a batch behind each other, as a kernel reads them.

In: texts or bytes. Out: ``Batch``: one buffer, and where each document ends in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from homespun.tokenizer.compiled import workspace as field
from homespun.tokenizer.split import bytes_of_text

Array = np.ndarray[Any, Any]
Text = TypeVar("Text", str, bytes, str | bytes)


@dataclass(frozen=True)
class Batch:
    """``raw`` holds all documents; document i ends at ``ends[i]``."""

    raw: Array  # uint8
    ends: Array  # int64

    def hand_to(self, work: Array) -> None:
        """Write the addresses into a workspace, and begin with the first document."""
        work[field.BASE], work[field.ENDS] = self.raw.ctypes.data, self.ends.ctypes.data
        work[field.DOCUMENTS] = len(self.ends)
        work[field.DOCUMENT] = work[field.PLACE] = work[field.RUN_END] = 0


def make_batch(texts: Sequence[str | bytes]) -> Batch:
    """Put documents behind each other; a single one of bytes is not copied."""
    try:
        raws = [text.encode() if isinstance(text, str) else text for text in texts]
    except UnicodeEncodeError:  # surrogates
        raws = [bytes_of_text(text) if isinstance(text, str) else text for text in texts]
    raw = raws[0] if len(raws) == 1 else b"".join(raws)
    ends = np.cumsum(np.fromiter(map(len, raws), np.int64, len(raws)))
    return Batch(np.frombuffer(raw, np.uint8), ends)


def in_batches(texts: Iterable[Text], characters: int) -> Iterator[list[Text]]:
    """Yield lists of texts of about ``characters`` characters together; a longer text is alone in its list."""
    batch: list[Text] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > characters:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
