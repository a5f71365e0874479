"""What every contender offers. Nothing of homespun is imported here: peers run in an interpreter of their own.

``Prepared`` are the files made of one vocabulary, in the forms that the contenders read (``vocabularies.py``).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

Text = str | bytes
MergeBytes = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Prepared:
    """One vocabulary: its name, its split in two spellings (``expressions.py``), and its files."""

    name: str
    classic: str
    possessive: str
    ranks: str  # .tiktoken: base64 of a token and its rank, a line each
    tokenizer_json: str  # of Hugging Face's tokenizers
    homespun: str  # our own file


@dataclass(frozen=True)
class TrainingTask:
    """Learn ``merges`` merges from all of ``text``, cut by the pattern ``name``."""

    text: str
    name: str
    classic: str
    possessive: str
    merges: int


class Contender:
    """One tokenizer library behind one interface; what it cannot do, it says in words."""

    name: ClassVar[str] = ""
    package: ClassVar[str] = ""  # what to look for, to see whether it is installed
    takes_bytes: ClassVar[bool] = False  # otherwise it gets str
    cannot_encode: ClassVar[str] = ""  # the reason, if it cannot read a given vocabulary
    cannot_train: ClassVar[str] = "it has no trainer"  # the reason, if it cannot
    splits: ClassVar[tuple[str, ...]] = ()  # the patterns that its trainer knows, if not all
    in_parts: ClassVar[bool] = False  # also on one thread, because one long text in one call is much slower
    start: ClassVar[str] = ""  # the shortest program that loads the vocabulary and encodes TEXT


class Encodes(Contender, ABC):
    """A contender that reads a given vocabulary and encodes with it."""

    @abstractmethod
    def load(self, files: Prepared) -> None:
        """Read the vocabulary."""

    @abstractmethod
    def encode(self, text: Text) -> Any:
        """Ids of one text in one call, in the form that is fastest for the library."""

    @abstractmethod
    def encode_parts(self, parts: Sequence[Any], threads: int) -> Any:
        """Ids of many texts in one call, on ``threads`` threads."""

    @abstractmethod
    def ids(self, result: Any) -> Any:
        """Whatever ``encode`` or ``encode_parts`` returned, as a flat NumPy array of uint32; outside the clock."""


class Trains(Contender, ABC):
    """A contender that learns a vocabulary."""

    @abstractmethod
    def train(self, task: TrainingTask) -> Any:
        """Learn; returns whatever ``merges`` needs."""

    @abstractmethod
    def merges(self, trained: Any) -> MergeBytes:
        """The merges as pairs of byte strings in the order of learning; outside the clock."""


def flat(lists: Sequence[Sequence[int]]) -> Any:
    """Lists of ids -> one array."""
    import numpy

    return numpy.concatenate([numpy.asarray(ids, dtype=numpy.uint32) for ids in lists])


def file_parts(path: str, size: int = 1 << 20) -> Iterator[str]:
    """A text file in parts of about ``size`` bytes, read while the trainer works: none of them need hold all of it."""
    rest = b""
    with Path(path).open("rb") as file:
        while block := file.read(size):
            rest += block
            border = certain_border_before(rest, len(rest) - 1)
            if border > 0:
                yield rest[:border].decode("utf-8")
                rest = rest[border:]
    if rest:
        yield rest.decode("utf-8")


def parts_of(raw: bytes, size: int) -> list[bytes]:
    """A text in parts of at most about ``size`` bytes, cut where their ids are those of the whole."""
    parts, start = [], 0
    while len(raw) - start > size:
        border = certain_border_before(raw, start + size, start)
        if border <= start:
            border = certain_border_after(raw, start + size)
        parts.append(raw[start:border])
        start = border
    parts.append(raw[start:])
    return parts


def certain_border_before(raw: bytes, end: int, start: int = 0) -> int:
    """The last place before ``end`` behind an ASCII letter and in front of a newline; 0 if there is none.

    There every split pattern has a border, and the pieces on each side do not depend on the other side.
    """
    while (place := raw.rfind(b"\n", start + 1, end)) > start:
        if raw[place - 1 : place].isalpha():
            return place
        end = place
    return 0


def certain_border_after(raw: bytes, start: int) -> int:
    """The first such place from ``start`` on; the end of the text if there is none."""
    place = start - 1
    while (place := raw.find(b"\n", place + 1)) >= 0:
        if place and raw[place - 1 : place].isalpha():
            return place
    return len(raw)
