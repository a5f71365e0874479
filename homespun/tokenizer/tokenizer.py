"""The class ``Tokenizer``: text or bytes -> token ids -> text or bytes.

In: a split pattern, merges, special tokens and perhaps a chat template. Out: ids below ``vocabulary_size``.

Ids 0 to 255 are the bytes, then come the merges in the order in which they were learned, then the special tokens.
Every byte string has ids, and decoding them gives it back exactly. Learning is in ``training.py``, the file format
in ``storage.py``, decoding while a model still writes in ``streaming.py``.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from pathlib import Path

from homespun.common.errors import HomespunError, UsageError
from homespun.tokenizer.encoding import Pair, encode_piece, token_of_pairs
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS, cut_at_special
from homespun.tokenizer.split import Splitter, bytes_of_text, text_of_bytes
from homespun.tokenizer.storage import contents, digest, load_vocabulary, save_vocabulary
from homespun.tokenizer.vocabulary import Vocabulary, make_vocabulary

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


class Tokenizer:
    """A byte-level BPE tokenizer; unchangeable once made, and safe to share between threads."""

    def __init__(
        self,
        pattern: str,
        merges: Iterable[Sequence[int]],
        special_tokens: Iterable[str] = DEFAULT_SPECIAL_TOKENS,
        chat_template: str | None = None,
    ) -> None:
        """Make one in our own numbering: 256 bytes, the merges, then ``special_tokens`` in their order."""
        self._set_up(make_vocabulary(pattern, merges, special_tokens, chat_template))

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Tokenizer":
        """Make one of any vocabulary, also of one that was imported."""
        tokenizer = cls.__new__(cls)
        tokenizer._set_up(vocabulary)
        return tokenizer

    def _set_up(self, vocabulary: Vocabulary) -> None:
        """Build the tables."""
        self.vocabulary = vocabulary
        self.pattern = vocabulary.pattern
        self.merges = vocabulary.merges
        self.special_tokens = vocabulary.special_tokens
        self.chat_template = vocabulary.chat_template
        self.splitter = Splitter(vocabulary.pattern)
        # A dictionary, not a list: a list would take -1 for its last entry.
        self._token_bytes = vocabulary.token_bytes()
        self.vocabulary_size = max(self._token_bytes) + 1
        self.end_of_text = vocabulary.special_tokens[vocabulary.end_of_text]
        self._cache = PieceCache(self.splitter, token_of_pairs(self.merges), vocabulary.public_ids())

    def __repr__(self) -> str:
        """Say what it is in one line."""
        return f"Tokenizer(pattern={self.pattern!r}, vocabulary_size={self.vocabulary_size}, id={self.identity()})"

    def encode(self, text: str, allowed_special: Collection[str] = ()) -> list[int]:
        """Encode text. Names of special tokens in it are ordinary text, unless listed in ``allowed_special``.

        Surrogate escapes (U+DC80 to U+DCFF) stand for their bytes; any other lone surrogate becomes U+FFFD.
        """
        ids: list[int] = []
        for part, is_special in cut_at_special(text, self._check_special(allowed_special)):
            if is_special:
                ids.append(self.special_tokens[part])
                continue
            for pieces in self.splitter.coarse(part):
                ids.extend(chain.from_iterable(map(self._cache.__getitem__, pieces)))
        return ids

    def encode_bytes(self, raw: bytes) -> list[int]:
        """Encode any bytes, also those that are no UTF-8; ``decode_bytes`` gives them back exactly."""
        return self.encode(text_of_bytes(raw))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode ids to bytes; special tokens give their names. An id out of range is a ``HomespunError``."""
        try:
            return b"".join(map(self._token_bytes.__getitem__, ids))
        except KeyError as error:
            raise self._out_of_range(error.args[0]) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of one token; an id out of range is a ``HomespunError``."""
        try:
            return self._token_bytes[token]
        except KeyError:
            raise self._out_of_range(token) from None

    def special_id(self, name: str) -> int:
        """Return the id of a special token by its name; an unknown name is a ``UsageError``."""
        self._check_special((name,))
        return self.special_tokens[name]

    def with_chat_template(self, chat_template: str | None) -> "Tokenizer":
        """Return the same tokenizer with another chat template."""
        return Tokenizer.of(self.vocabulary.with_chat_template(chat_template))

    def identity(self) -> str:
        """Return 12 hexadecimal digits that change whenever the ids of some text could change.

        The chat template does not count: token shards stay good when only the template changes.
        """
        return digest(contents(self.vocabulary.with_chat_template(None)))[:12]

    def save(self, path: Path) -> None:
        """Write one readable JSON file, atomically (see ``storage.py``)."""
        save_vocabulary(self.vocabulary, path)

    @staticmethod
    def load(path: Path) -> "Tokenizer":
        """Read what ``save`` wrote; a damaged file is a ``DamagedFileError`` that names it."""
        return Tokenizer.of(load_vocabulary(path))

    def token_ids(self) -> Iterable[int]:
        """Return all ids there are, ascending; an imported vocabulary may have gaps."""
        return self._token_bytes.keys()

    def _check_special(self, names: Collection[str]) -> tuple[str, ...]:
        """Return ``names`` if all are special tokens of ours."""
        if isinstance(names, str):
            raise UsageError(f"allowed_special is one text, {names!r}; give the names in a tuple")
        for name in names:
            if name not in self.special_tokens:
                raise UsageError(f"no special token is called {name!r}; there are {', '.join(self.special_tokens)}")
        return tuple(names)

    def _out_of_range(self, token: object) -> HomespunError:
        return HomespunError(
            f"{token!r} is no token id of this tokenizer (0 to {self.vocabulary_size - 1}); "
            "use the tokenizer that the ids were made with"
        )
