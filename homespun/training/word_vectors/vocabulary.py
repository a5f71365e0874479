"""The words that get a vector, most frequent first, and how often each occurs in the text.

In: words and counts. Out: ``WordVocabulary``; a word's id is its place.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class WordVocabulary:
    """``words[i]`` occurs ``counts[i]`` times (int64, falling)."""

    words: tuple[str, ...]
    counts: Array

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def total(self) -> int:
        """Occurrences of all of them."""
        return int(self.counts.sum())
