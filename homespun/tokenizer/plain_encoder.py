"""Text -> ids in plain Python: splits, then encodes each distinct piece once. Exact, and at hand without any waiting.

In: text. Out: public ids. The compiled encoder gives the same ids many times as fast, and costs some
seconds once in the life of an installation.
"""

from collections.abc import Sequence
from itertools import chain

from homespun.tokenizer.encoding import encode_piece, token_of_pairs
from homespun.tokenizer.split import Splitter, bytes_of_text
from homespun.tokenizer.vocabulary import Pair, Vocabulary

# Pieces whose ids are remembered, about 200 bytes each: 26 MB when full. Longer pieces rarely come again.
LARGEST_CACHE = 1 << 17
LONGEST_CACHED_PIECE = 48


class PieceCache(dict[str, tuple[int, ...]]):
    """Pieces -> ids; a piece that is missing is encoded, and remembered within bounds.

    Natural text repeats its words, so nearly every look-up is a hit, which costs one dictionary access.
    """

    def __init__(self, splitter: Splitter, tokens: dict[Pair, int], public_ids: Sequence[int]) -> None:
        """Start empty."""
        super().__init__()
        self.splitter = splitter
        self.tokens = tokens
        self.public_ids = public_ids

    def __missing__(self, piece: str) -> tuple[int, ...]:
        """Encode a piece; a number goes group by group, and the groups are remembered too."""
        parts = self.splitter.fine(piece)
        if len(parts) == 1:
            learned = encode_piece(bytes_of_text(piece), self.tokens)
            ids = tuple(map(self.public_ids.__getitem__, learned))
        else:
            ids = tuple(chain.from_iterable(map(self.__getitem__, parts)))
        if len(piece) <= LONGEST_CACHED_PIECE:
            if len(self) >= LARGEST_CACHE:
                self.clear()  # the frequent ones are back after a few thousand words
            self[piece] = ids
        return ids


class PlainEncoder:
    """Encodes with one vocabulary; safe to share between threads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Build the dictionary of merges."""
        self.splitter = Splitter(vocabulary.pattern)
        self.cache = PieceCache(self.splitter, token_of_pairs(vocabulary.merges), vocabulary.public_ids())

    def encode(self, text: str) -> list[int]:
        """Encode text, in which bytes that are not UTF-8 are surrogate escapes."""
        ids: list[int] = []
        for pieces in self.splitter.coarse(text):
            ids.extend(chain.from_iterable(map(self.cache.__getitem__, pieces)))
        return ids
