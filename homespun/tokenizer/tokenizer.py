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
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS, END_OF_TEXT, cut_at_special
from homespun.tokenizer.split import Splitter, bytes_of_text, text_of_bytes

# Pieces whose ids are remembered, about 200 bytes each: 26 MB when full. Longer pieces rarely come again.
LARGEST_CACHE = 1 << 17
LONGEST_CACHED_PIECE = 48


class PieceCache(dict[str, tuple[int, ...]]):
    """Pieces -> ids; a piece that is missing is encoded, and remembered within bounds.

    Natural text repeats its words, so nearly every look-up is a hit, which costs one dictionary access.
    """

    def __init__(self, splitter: Splitter, tokens: dict[Pair, int]) -> None:
        """Start empty."""
        super().__init__()
        self.splitter = splitter
        self.tokens = tokens

    def __missing__(self, piece: str) -> tuple[int, ...]:
        """Encode a piece; a number goes group by group, and the groups are remembered too."""
        parts = self.splitter.fine(piece)
        if len(parts) == 1:
            ids = tuple(encode_piece(bytes_of_text(piece), self.tokens))
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
        """Build the tables; merges or names that contradict each other are a ``HomespunError``.

        ``special_tokens`` are names; they get the ids after the merges, in their order, and ``<|endoftext|>`` must be
        among them. Merge number i makes the token 256 + i out of two tokens below it.
        """
        self.splitter = Splitter(pattern)
        self.pattern = pattern
        self.chat_template = chat_template
        self.merges: tuple[Pair, ...] = tuple((left, right) for left, right in merges)
        token_bytes = bytes_of_tokens(self.merges)
        self.special_tokens: dict[str, int] = {}
        for name in special_tokens:
            if not name or name in self.special_tokens:
                raise HomespunError(f"special token {name!r} is empty or there twice; give each its own name")
            self.special_tokens[name] = len(token_bytes)
            token_bytes.append(bytes_of_text(name))
        if END_OF_TEXT not in self.special_tokens:
            raise HomespunError(f"the special tokens lack {END_OF_TEXT}, which divides documents; add it")
        self.vocabulary_size = len(token_bytes)
        self.end_of_text = self.special_tokens[END_OF_TEXT]
        # A dictionary, not a list: a list would take -1 for its last entry.
        self._token_bytes = dict(enumerate(token_bytes))
        self._cache = PieceCache(self.splitter, token_of_pairs(self.merges))

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
        return Tokenizer(self.pattern, self.merges, self.special_tokens, chat_template)

    def identity(self) -> str:
        """Return 12 hexadecimal digits that change whenever the ids of some text could change.

        The chat template does not count: token shards stay good when only the template changes.
        """
        from homespun.tokenizer.storage import contents, digest

        return digest(contents(self) | {"chat_template": None})[:12]

    def save(self, path: Path) -> None:
        """Write one readable JSON file, atomically (see ``storage.py``)."""
        from homespun.tokenizer.storage import save_tokenizer

        save_tokenizer(self, path)

    @staticmethod
    def load(path: Path) -> "Tokenizer":
        """Read what ``save`` wrote; a damaged file is a ``DamagedFileError`` that names it."""
        from homespun.tokenizer.storage import load_tokenizer

        return load_tokenizer(path)

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


def bytes_of_tokens(merges: Sequence[Pair]) -> list[bytes]:
    """Return the bytes of the tokens below the special ones; merges that contradict each other are an error."""
    token_bytes = [bytes([value]) for value in range(BYTES)]
    seen = set()
    for rank, (left, right) in enumerate(merges):
        if not (0 <= left < BYTES + rank and 0 <= right < BYTES + rank):
            raise HomespunError(f"merge number {rank} joins {left} and {right}, which are not both below its own id")
        if (left, right) in seen:
            raise HomespunError(f"merge number {rank} joins {left} and {right}, which an earlier merge does already")
        seen.add((left, right))
        token_bytes.append(token_bytes[left] + token_bytes[right])
    return token_bytes
