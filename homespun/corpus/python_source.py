"""Python source files among the sources of a corpus -> their text, one file at a time.

In: SOURCE words. Out: a ``Module`` for each file that ends in ``.py`` or ``.pyi``, compressed or not, named as Python
would import it. The order is that of the hashes of the names, so that whoever stops early has an even sample.

A file says itself in which encoding it is (PEP 263); one that is not in it is read as any other text. Files of more
than 1 MiB, and those that are no text, are counted and passed over.
"""

import hashlib
import io
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from homespun.corpus.decode import UndecodableError, decode
from homespun.corpus.opening import DAMAGE, open_bytes
from homespun.corpus.source_file import SourceFile
from homespun.corpus.sources import list_files

PYTHON_ENDINGS = (".py", ".pyi")
LARGEST_BYTES = 1 << 20  # the tree of a file takes about a hundred times its size
PACKAGE = "__init__"


@dataclass(frozen=True)
class Module:
    """``name``: ``asyncio.tasks``, or as much of it as the path tells; ``source``: the text of the file."""

    name: str
    source: str


@dataclass
class ReadFiles:
    """How many files were read and passed over."""

    read: int = 0
    too_large: int = 0
    unreadable: int = 0


def python_modules(sources: Sequence[str], maximum_bytes: int, files: ReadFiles) -> Iterator[Module]:
    """The modules among ``sources``, until about ``maximum_bytes`` are read (0: all of them)."""
    found = [file for file in list_files(sources).files if file.ending in PYTHON_ENDINGS]
    taken = 0
    for file in sorted(found, key=lambda file: hashlib.sha256(file.label.encode()).digest()):
        if maximum_bytes and taken >= maximum_bytes:
            return
        raw = bytes_of(file, files)
        if raw is None:
            continue
        try:
            source = source_of(raw)
        except UndecodableError:
            files.unreadable += 1
            continue
        files.read += 1
        taken += len(raw)
        yield Module(module_name(file.label), source)


def bytes_of(file: SourceFile, files: ReadFiles) -> bytes | None:
    """The whole file; None, and counted, where that cannot be had."""
    try:
        with open_bytes(file.path, file.compression) as stream:
            raw = stream.read(LARGEST_BYTES + 1)
    except DAMAGE:
        files.unreadable += 1
        return None
    if len(raw) > LARGEST_BYTES:
        files.too_large += 1
        return None
    return raw


def source_of(raw: bytes) -> str:
    """In the encoding that the file names, UTF-8 if it names none; else as whatever text it may be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some codecs have their doubts about what they read
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
            return raw.decode(encoding)
        except (SyntaxError, UnicodeError, LookupError):
            return decode(raw).text


def module_name(label: str) -> str:
    """``folder/package/module.py`` to ``package.module``; folders that Python could not import are left away."""
    file = label.rpartition("/")[2]
    folders = label.split("/")[1:-1]
    parts = [*folders, file.partition(".")[0]]
    if parts[-1] == PACKAGE:
        parts = parts[:-1] or label.split("/")[:1]
    for number in range(len(parts)):
        if all(part.isidentifier() for part in parts[number:]):
            return ".".join(parts[number:])
    return ""
