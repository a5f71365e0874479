"""The two simplest tokenizers, to begin with: one id for every character, one id for every word.

In: a text to take the vocabulary from; then text -> ids and ids -> text, and one readable JSON file.
Out: ``CharacterTokenizer`` and ``WordTokenizer``.

They show what byte-pair encoding is good for. Characters make long sequences out of few ids. Words make short ones, out
of a vocabulary that grows with every new text and never has all words: what is not in it becomes ``<|unk|>``, and is
lost. BPE (``tokenizer.py``) lies between the two, and loses nothing.

Ids are the places in the sorted vocabulary; ``<|endoftext|>`` and ``<|unk|>`` come behind it.
"""

import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import read_json, write_atomic
from homespun.tokenizer.patterns import plain_expression
from homespun.tokenizer.settings import LARGEST_VOCABULARY, check_whole_number
from homespun.tokenizer.special import END_OF_TEXT, cut_at_special
from homespun.tokenizer.split import CLASS_TEXT
from homespun.tokenizer.storage import digest

UNKNOWN = "<|unk|>"
SPECIAL_TOKENS = (END_OF_TEXT, UNKNOWN)
FORMAT = "homespun-simple-tokenizer"
VERSION = 1

# One line per kind of word; the first that fits wins. ``\w`` would not do: in Python's ``re`` it leaves out combining
# marks, and cuts Bengali, Hindi or Thai words at every vowel sign. Here a mark (\p{M}) and the joiners ZWNJ and ZWJ
# (U+200C, U+200D) stay with what they follow.
WORD_EXPRESSION = "|".join(
    [
        # Letters and digits; parts joined by single hyphens are one word: "well-known".
        r"[\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*+(?:-[\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*+)*+",
        # The dash of typewriters.
        r"--",
        # Any other visible character alone: a comma, a bracket, an emoji.
        r"\S[\p{M}\u200c\u200d]*+",
    ]
)

# How ``WordTokenizer.decode`` sets spaces again. Straight quotes are ambiguous: of " every second one closes; '
# is taken for an apostrophe.
CLOSING = frozenset(".,:;!?)]}%…”»।॥،؛؟。、，！？；：）」』")
OPENING = frozenset("([{“„«¿¡（「『#$€£")
JOINING = frozenset(["'", "’", "--"])
QUOTE = '"'


class SimpleTokenizer(ABC):
    """What both have in common: a sorted vocabulary with two special tokens behind it. Unchangeable once made."""

    kind: ClassVar[str]

    def __init__(self, vocabulary: Iterable[str]) -> None:
        """Number the entries of ``vocabulary`` in sorted order; an entry must be one character, or one word."""
        entries = sorted(set(vocabulary))
        for entry in entries:
            if self.split(entry) != [entry] or has_surrogate(entry):
                raise HomespunError(f"{entry!r} cannot be an entry of a vocabulary of {self.kind}; take it out")
        names = [*entries, *SPECIAL_TOKENS]
        self.vocabulary = tuple(entries)
        self.special_tokens = {name: len(entries) + place for place, name in enumerate(SPECIAL_TOKENS)}
        self.vocabulary_size = len(names)
        self.end_of_text = self.special_tokens[END_OF_TEXT]
        self.unknown = self.special_tokens[UNKNOWN]
        self._ids = {entry: token for token, entry in enumerate(entries)}
        # A dictionary, not a list: a list would take -1 for its last entry.
        self._names = dict(enumerate(names))

    def __repr__(self) -> str:
        """Say what it is in one line."""
        return f"{type(self).__name__}(vocabulary_size={self.vocabulary_size})"

    @staticmethod
    @abstractmethod
    def split(text: str) -> list[str]:
        """Cut a text into what gets an id each."""

    @staticmethod
    @abstractmethod
    def join(parts: list[str]) -> str:
        """Put together what ``split`` cut."""

    def encode(self, text: str, allowed_special: Collection[str] = ()) -> list[int]:
        """Encode text; what is not in the vocabulary becomes ``<|unk|>``.

        Names of special tokens in it are ordinary text, unless listed in ``allowed_special``.
        """
        if isinstance(allowed_special, str):
            raise UsageError(f"allowed_special is one text, {allowed_special!r}; give the names in a tuple")
        for name in allowed_special:
            self.special_id(name)
        ids: list[int] = []
        for part, is_special in cut_at_special(text, tuple(allowed_special)):
            if is_special:
                ids.append(self.special_tokens[part])
            else:
                ids.extend(self._ids.get(entry, self.unknown) for entry in self.split(part))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to text; special tokens give their names. An id out of range is a ``HomespunError``."""
        return self.join([self.token_text(token) for token in ids])

    def token_text(self, token: int) -> str:
        """Return the text of one id; an id out of range is a ``HomespunError``."""
        try:
            return self._names[token]
        except KeyError:
            raise HomespunError(
                f"{token!r} is no token id of this tokenizer (0 to {self.vocabulary_size - 1}); "
                "use the tokenizer that the ids were made with"
            ) from None

    def special_id(self, name: str) -> int:
        """Return the id of a special token by its name; an unknown name is a ``UsageError``."""
        if name not in self.special_tokens:
            raise UsageError(f"no special token is called {name!r}; there are {', '.join(self.special_tokens)}")
        return self.special_tokens[name]

    def save(self, path: Path) -> None:
        """Write one readable JSON file, atomically: format, version, kind, vocabulary, and a checksum of the rest."""
        value = {"format": FORMAT, "version": VERSION, "kind": self.kind, "vocabulary": list(self.vocabulary)}
        value["sha256"] = digest(value)
        write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote; a damaged file is a ``DamagedFileError`` that names it."""
        try:
            value = read_json(path)
            fault = find_fault(value, cls.kind)
        except RecursionError:
            raise DamagedFileError(f"{path} is damaged (nested too deep); make it again") from None
        if fault:
            raise DamagedFileError(f"{path}: {fault}")
        try:
            return cls(value["vocabulary"])
        except HomespunError as error:
            raise DamagedFileError(f"{path} is damaged ({error}); make it again") from error


class CharacterTokenizer(SimpleTokenizer):
    """One id per character (code point): decoding gives the text back exactly, if all its characters are known."""

    kind = "characters"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Take all characters of ``text``."""
        return cls(character for character in set(text) if not has_surrogate(character))

    @staticmethod
    def split(text: str) -> list[str]:
        """Cut a text into its characters."""
        return list(text)

    @staticmethod
    def join(parts: list[str]) -> str:
        """Join characters."""
        return "".join(parts)


class WordTokenizer(SimpleTokenizer):
    """One id per word or punctuation mark.

    Not lossless: white space is not kept, and ``decode`` sets spaces where English and its relatives have them. But
    encoding what was decoded gives the same ids, where none was ``<|unk|>`` or another special token.
    """

    kind = "words"

    @classmethod
    def from_text(cls, text: str, minimum_frequency: int = 1, largest_vocabulary: int = LARGEST_VOCABULARY) -> Self:
        """Take the words of ``text`` that it has at least ``minimum_frequency`` times.

        If these are too many for ``largest_vocabulary``, which counts the special tokens too, the most frequent stay,
        and of equally frequent ones those that come first when sorted.
        """
        check_whole_number("minimum_frequency", minimum_frequency, 1)
        check_whole_number("largest_vocabulary", largest_vocabulary, len(SPECIAL_TOKENS))
        counts = Counter(cls.split(text))
        frequent = [word for word, count in counts.items() if count >= minimum_frequency and not has_surrogate(word)]
        frequent.sort(key=lambda word: (-counts[word], word))
        return cls(frequent[: largest_vocabulary - len(SPECIAL_TOKENS)])

    @staticmethod
    def split(text: str) -> list[str]:
        """Cut a text into words and punctuation marks; white space only divides them."""
        return find_words(text)

    @staticmethod
    def join(parts: list[str]) -> str:
        """Set the words behind each other, with spaces where they belong."""
        pieces = parts[:1]
        quote_is_open = pieces == [QUOTE]
        for left, right in pairwise(parts):
            quote_is_open ^= right == QUOTE
            if not (belong_together(left, right, quote_is_open) and stay_apart(left, right)):
                pieces.append(" ")
            pieces.append(right)
        return "".join(pieces)


def find_words(text: str) -> list[str]:
    """Return all words; like the split of ``split.py`` it finds them in a class text, where letters are a few signs."""
    return [text[found.start() : found.end()] for found in word_expression().finditer(text.translate(CLASS_TEXT))]


@cache
def word_expression() -> re.Pattern[str]:
    """Return WORD_EXPRESSION as the standard ``re`` takes it."""
    return re.compile(plain_expression(WORD_EXPRESSION))


def belong_together(left: str, right: str, quote_is_open: bool) -> bool:
    """Tell whether two neighbours are written without a space; a quote in ``right`` is counted in ``quote_is_open``."""
    if right in CLOSING or left in OPENING or right in JOINING or left in JOINING:
        return True
    return (right == QUOTE and not quote_is_open) or (left == QUOTE and quote_is_open)


def stay_apart(left: str, right: str) -> bool:
    """Tell whether two neighbours written without a space are still two when they are cut again."""
    return find_words(left + right) == [left, right]


def has_surrogate(text: str) -> bool:
    """Tell whether there is half a surrogate pair in the text, which means nothing and no file can hold."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def find_fault(value: Any, kind: str) -> str | None:
    """Return what is wrong with the JSON of a simple tokenizer, or None."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return "not a simple tokenizer; give the file that its method save wrote"
    if value.get("version") != VERSION:
        return f"made by another version of homespun (format {value.get('version')!r}, this one reads {VERSION})"
    if value.get("sha256") != digest({key: part for key, part in value.items() if key != "sha256"}):
        return "damaged (its contents do not match their sha256); make it again"
    if value.get("kind") != kind:
        return f"a vocabulary of {value.get('kind')}, not of {kind}; load it with the other class"
    vocabulary = value.get("vocabulary")
    if not isinstance(vocabulary, list) or not all(isinstance(entry, str) for entry in vocabulary):
        return "damaged (vocabulary is not what it should be); make it again"
    if len(set(vocabulary)) < len(vocabulary):
        return "damaged (an entry is there twice); make it again"
    return None
