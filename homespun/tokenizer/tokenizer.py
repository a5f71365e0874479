"""The class ``Tokenizer``: text or bytes -> token ids -> text or bytes.

In: a ``Vocabulary``. Out: ids below ``vocabulary_size``.

In our own vocabularies ids 0 to 255 are the bytes, then come the merges in the order in which they were learned, then
the special tokens. Every byte string has ids, and decoding them gives it back exactly. Learning is in ``training.py``,
the file formats in ``storage.py`` and ``formats/``, decoding while a model still writes in ``streaming.py``.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.common.cores import available_cores
from homespun.common.errors import HomespunError, UsageError
from homespun.tokenizer.engine import Engine
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS, cut_at_special
from homespun.tokenizer.split import find_border, text_of_bytes
from homespun.tokenizer.storage import contents, digest, load_vocabulary, save_vocabulary
from homespun.tokenizer.vocabulary import Vocabulary, make_vocabulary

if TYPE_CHECKING:
    from homespun.tokenizer.compiled.documents import Array

# Characters of a single text that one of several threads encodes at a time.
PART = 1 << 20
INVALID = ("keep", "replace", "ignore", "error")


@dataclass(frozen=True)
class TokenBatch:
    """The ids of several texts behind each other (uint32); those of text i are ``ids[starts[i]:starts[i + 1]]``."""

    ids: "Array"  # (tokens,) uint32
    starts: "Array"  # (texts + 1,) int64

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.starts) - 1

    def __getitem__(self, text: int) -> "Array":
        """Return the ids of one text."""
        if not 0 <= text < len(self):
            raise IndexError(text)
        return self.ids[self.starts[text] : self.starts[text + 1]]


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
        self.vocabulary = vocabulary
        self.pattern = vocabulary.pattern
        self.merges = vocabulary.merges
        self.special_tokens = vocabulary.special_tokens
        self.chat_template = vocabulary.chat_template
        self.end_of_text = vocabulary.special_tokens[vocabulary.end_of_text]
        self.vocabulary_size = 1 + max(max(vocabulary.public_ids()), *vocabulary.special_tokens.values())
        self._engine = Engine(vocabulary)

    def __repr__(self) -> str:
        """Say what it is in one line."""
        return f"Tokenizer(pattern={self.pattern!r}, vocabulary_size={self.vocabulary_size}, id={self.identity()})"

    def prepare(self) -> bool:
        """Load the compiled encoder now, or compile it; False if there is none and the plain one has to do.

        Without this call it is loaded when there is enough text for it.
        """
        return self._engine.prepare()

    def encode(self, text: str, allowed_special: Collection[str] = ()) -> list[int]:
        """Encode text to a list. Names of special tokens in it are ordinary text, unless in ``allowed_special``.

        Surrogate escapes (U+DC80 to U+DCFF) stand for their bytes; any other lone surrogate becomes U+FFFD.
        """
        ids: list[int] = []
        for part, is_special in cut_at_special(text, self._check_special(allowed_special)):
            if is_special:
                ids.append(self.special_tokens[part])
            elif self._engine.wants_compiled(len(part)):
                ids.extend(self._engine.encode((part,), 1)[0].tolist())
            else:
                ids.extend(self._engine.encode_plainly(part))
        return ids

    def encode_array(self, text: str | bytes, allowed_special: Collection[str] = (), threads: int = 1) -> "Array":
        """Encode text, or any bytes, to an array (uint32): a list of Python ints alone would take most of the time.

        Several ``threads`` (0: one per core) share a long text between them.
        """
        import numpy as np

        names = self._check_special(allowed_special)
        if names:
            text = text if isinstance(text, str) else text_of_bytes(text)
            parts = [
                np.array([self.special_tokens[part]], np.uint32) if is_special else self.encode_array(part, (), threads)
                for part, is_special in cut_at_special(text, names)
            ]
            return np.concatenate(parts) if parts else np.empty(0, np.uint32)
        if not self._engine.wants_compiled(len(text)):
            return np.array(self._engine.encode_plainly(text), np.uint32)
        threads = threads or available_cores()
        if threads == 1 or len(text) < 2 * PART:
            return self._engine.encode((text,), 1)[0]
        return self._engine.encode(cut_for_threads(text), threads)[0]

    def encode_batch(self, texts: Sequence[str | bytes], threads: int = 0) -> TokenBatch:
        """Encode many texts at once, on ``threads`` threads (0: one per core)."""
        import numpy as np

        if texts and self._engine.wants_compiled(sum(map(len, texts))):
            ids, ends = self._engine.encode(texts, threads or available_cores())
        else:
            lists = [self._engine.encode_plainly(text) for text in texts]
            ids = np.array([token for ids in lists for token in ids], np.uint32)
            ends = np.cumsum([len(ids) for ids in lists], dtype=np.int64)
        return TokenBatch(ids, np.concatenate([np.zeros(1, np.int64), ends]))

    def encode_lists(self, texts: Sequence[str | bytes], threads: int = 0) -> list[list[int]]:
        """Encode many texts at once to lists, on ``threads`` threads (0: one per core)."""
        if not self._engine.wants_compiled(sum(map(len, texts))):
            return [self._engine.encode_plainly(text) for text in texts]
        ids, ends = self._engine.encode(texts, threads or available_cores())
        borders = [0, *ends.tolist()]
        every = ids.tolist()
        return [every[start:end] for start, end in pairwise(borders)]

    def encode_bytes(self, raw: bytes, invalid: str = "keep") -> list[int]:
        """Encode bytes. ``invalid`` says what to do with those that are no UTF-8.

        ``keep`` encodes them as they are, and ``decode_bytes`` gives them back; ``replace`` puts U+FFFD in their place;
        ``ignore`` leaves them out; ``error`` is a ``HomespunError`` that says at which byte.
        """
        return self.encode(text_by_policy(raw, invalid))

    def encode_with_spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Encode text; also return for each token from which character to which it stands for.

        A token that ends inside a character counts as reaching to its end; the next one begins there too.
        """
        from homespun.tokenizer.spans import character_spans

        ids = self.encode(text)
        return ids, character_spans(text, map(len, map(self._token_bytes.__getitem__, ids)))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode ids to bytes; special tokens give their names. An id out of range is a ``HomespunError``."""
        numbers = ids.tolist() if hasattr(ids, "tolist") else ids
        try:
            return b"".join(map(self._token_bytes.__getitem__, numbers))
        except (KeyError, TypeError) as error:
            wrong = error.args[0] if isinstance(error, KeyError) else "what is no number"
            raise self._out_of_range(wrong) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of one token; an id out of range is a ``HomespunError``."""
        try:
            return self._token_bytes[token]
        except KeyError:
            raise self._out_of_range(token) from None

    def token_ids(self) -> Iterable[int]:
        """Return all ids there are, ascending; an imported vocabulary may have gaps."""
        return self._token_bytes.keys()

    def special_id(self, name: str) -> int:
        """Return the id of a special token by its name; an unknown name is a ``UsageError``."""
        self._check_special((name,))
        return self.special_tokens[name]

    def with_chat_template(self, chat_template: str | None) -> "Tokenizer":
        """Return the same tokenizer with another chat template."""
        return Tokenizer.of(self.vocabulary.with_chat_template(chat_template))

    def with_special_tokens(self, names: Iterable[str]) -> "Tokenizer":
        """Return the same tokenizer with further special tokens behind all ids; those that are there stay."""
        return Tokenizer.of(self.vocabulary.with_special_tokens(names))

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

    @cached_property
    def _token_bytes(self) -> dict[int, bytes]:
        """The bytes of every id. A dictionary, not a list: a list would take -1 for its last entry."""
        return self.vocabulary.token_bytes()

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


def text_by_policy(raw: bytes, invalid: str) -> str:
    """Decode UTF-8; ``invalid`` is a policy of ``Tokenizer.encode_bytes``."""
    if invalid not in INVALID:
        raise UsageError(f"invalid {invalid!r}: choose one of {', '.join(INVALID)}")
    if invalid == "keep":
        return text_of_bytes(raw)
    try:
        return raw.decode("utf-8", "strict" if invalid == "error" else invalid)
    except UnicodeDecodeError as error:
        raise HomespunError(
            f"the text is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}; "
            "convert it, or choose keep, replace or ignore"
        ) from None


def cut_for_threads(text: str | bytes) -> list[str | bytes]:
    """Cut a long text where every pattern cuts, into parts of about PART."""
    parts: list[str | bytes] = []
    start = 0
    while start < len(text):
        end = find_border(text, start + PART) if isinstance(text, str) else find_ascii_border(text, start + PART)
        parts.append(text[start:end])
        start = end
    return parts


def find_ascii_border(raw: bytes, start: int) -> int:
    """Return a place behind ``start`` between an ASCII letter and white space, or the end (see ``find_border``)."""
    import re

    found = re.compile(rb"[A-Za-z](?=[ \t\r\n])").search(raw, start)
    return found.end() if found else len(raw)
