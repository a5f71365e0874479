"""What training gives: a vector for each word.

In: words, most frequent first, and a matrix with a row for each. Out: ``WordVectors``, which finds a word's row.
"""

import difflib
from dataclasses import dataclass
from functools import cached_property

from homespun.common.errors import UsageError
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.vocabulary import Array

# Near spellings are looked for among so many of the most frequent words: half a second.
MOST_COMPARED = 50_000
NEAR_SPELLINGS = 3


@dataclass(frozen=True)
class WordVectors:
    """``vectors[i]`` (float32, (V, D)) belongs to ``words[i]``.

    ``counts`` (int64) says how often each word occurred and ``config`` how they were learned; both are None for vectors
    that another program made.
    """

    words: tuple[str, ...]
    vectors: Array
    counts: Array | None = None
    config: WordVectorConfig | None = None

    @cached_property
    def ids(self) -> dict[str, int]:
        """Where each word stands."""
        return {word: place for place, word in enumerate(self.words)}

    def find(self, word: str) -> int | None:
        """Where a word stands, as it is spelled or else in lower case; None if it is not there."""
        place = self.ids.get(word)
        return self.ids.get(word.lower()) if place is None else place

    def must_find(self, word: str) -> int:
        """Where a word stands; ``UsageError`` with near spellings if it is not there."""
        place = self.find(word)
        if place is None:
            near = difflib.get_close_matches(word.lower(), self.words[:MOST_COMPARED], NEAR_SPELLINGS)
            hint = f"did you mean {' or '.join(near)}?" if near else "no known word is spelled like it"
            raise UsageError(f"{word!r} is not among the {len(self.words):,} words; {hint}")
        return place
