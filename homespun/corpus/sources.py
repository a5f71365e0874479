"""SOURCE words to a list of files, and their size.

In: the word ``python`` (the interpreter's own standard library) or paths of files and folders, any mix.
Out: ``SourceFile`` entries in a fixed order, each with its kind, told by the ending; nothing is opened.

Left out of folders: hidden files and folders, ``__pycache__``, ``node_modules`` and whatever has a known
binary ending (those are counted). Links to folders are followed once; a file reached twice is taken once.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homespun.common.errors import HomespunError, UsageError
from homespun.corpus.python_library import library_files
from homespun.corpus.source_file import BINARY_ENDINGS, PYTHON_WORD, UNKNOWN, SourceFile, describe, endings

SKIPPED_FOLDERS = {"__pycache__", "node_modules"}
READABLE = "homespun reads plain text, HTML, JSON, CSV, TSV and Parquet"


@dataclass(frozen=True)
class SourceSize:
    """How much there is to read: files, and bytes of text (estimated for compressed files)."""

    files: int
    bytes: int


@dataclass
class FileList:
    """What the SOURCE words lead to: the files to read, and what was passed over."""

    files: list[SourceFile] = field(default_factory=list)
    binary: int = 0
    unreadable: list[str] = field(default_factory=list)
    unknown_endings: Counter[str] = field(default_factory=Counter)

    @property
    def seen(self) -> int:
        return len(self.files) + self.binary + len(self.unreadable)


def scan(sources: Sequence[str]) -> SourceSize:
    """The size of the sources from the sizes of their files alone; nothing is opened. Errors as ``list_files``."""
    files = list_files(sources).files
    return SourceSize(len(files), sum(file.estimated_bytes for file in files))


def list_files(sources: Sequence[str], leave_out: Path | None = None) -> FileList:
    """The files behind the SOURCE words, in the order of the words and sorted within each folder.

    ``leave_out`` is a folder that is not read (where the corpus itself goes). Raises ``UsageError`` for a
    path that does not exist and ``HomespunError`` for a folder with nothing to read.
    """
    if not sources:
        raise UsageError("no source given; name files or folders, or the word python for Python's own library")
    listing, taken = FileList(), set()
    for source in sources:
        found = FileList()
        found.files.extend(files_of(source, found, leave_out))
        if not found.seen:
            raise HomespunError(f"the folder {source} holds no files to read; name one with text files")
        if not found.files and not found.unreadable:
            raise HomespunError(f"{source}: {count_of(found.binary, 'file')}, all binary; {READABLE}")
        listing.binary += found.binary
        listing.unreadable += found.unreadable
        for file in found.files:
            real = os.path.realpath(file.path)
            if real not in taken:
                taken.add(real)
                listing.files.append(file)
                if file.kind == UNKNOWN:
                    listing.unknown_endings[file.ending or "(none)"] += 1
    return listing


def count_of(number: int, noun: str) -> str:
    """``1 file``, ``12 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def files_of(source: str, listing: FileList, leave_out: Path | None) -> Iterator[SourceFile]:
    """The files of one SOURCE word; what is passed over is counted in ``listing``."""
    if source == PYTHON_WORD:
        yield from library_files()
        return
    path = Path(source).expanduser()
    if path.is_dir():
        yield from files_in_folder(path, listing, leave_out)
    elif path.is_file():
        yield describe(path, path.name, named=True)
    elif path.exists():
        raise UsageError(f"the source {source} is neither a file nor a folder; name files, folders or python")
    else:
        raise UsageError(f"the source {source} does not exist; name files, folders or the word python")


def files_in_folder(folder: Path, listing: FileList, leave_out: Path | None) -> Iterator[SourceFile]:
    """All files below ``folder``, sorted by name level by level; every real folder once, so links cannot loop."""
    name = folder.resolve().name
    visited = {os.path.realpath(leave_out)} if leave_out else set()

    def failed(error: OSError) -> None:
        listing.unreadable.append(str(error.filename))

    for place, subfolders, names in os.walk(folder, onerror=failed, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(entry for entry in subfolders if not is_skipped(entry))
        for entry in sorted(names):
            path = Path(place, entry)
            if entry.startswith(".") or not path.is_file():
                continue
            if is_binary_name(entry):
                listing.binary += 1
                continue
            yield describe(path, f"{name}/{path.relative_to(folder).as_posix()}", named=False)


def is_skipped(folder: str) -> bool:
    """Hidden folders, and folders of programs rather than of text."""
    return folder.startswith(".") or folder in SKIPPED_FOLDERS


def is_binary_name(name: str) -> bool:
    """Whether the ending alone says that this is no text."""
    ending, compression = endings(name)
    return ending in BINARY_ENDINGS or (not compression and Path(name).suffix.lower() in BINARY_ENDINGS)
