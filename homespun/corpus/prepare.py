"""The way from sources to a corpus folder: read, decode, normalize, deduplicate, cap, split, write, account.

In: SOURCE words and a ``CorpusConfig``. Out: a folder of Parquet shards with ``manifest.json``, whole or
absent. Documents stream through generators; the memory is a few pieces of text (see ``read``), one row group
per split and 12 to 24 bytes per document seen.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from homespun import __version__
from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import atomic_folder
from homespun.common.progress import Advance, ignore
from homespun.corpus import shards
from homespun.corpus.borders import find_border
from homespun.corpus.compressibility import CompressionMeter
from homespun.corpus.deduplicate import SeenIds
from homespun.corpus.document import Document
from homespun.corpus.manifest import MANIFEST_NAME, CorpusCounts, CorpusManifest, SplitManifest, verify
from homespun.corpus.normalize import normalize
from homespun.corpus.pairs import sides
from homespun.corpus.read import BINARY, NO_TEXT_COLUMN, UNDECODABLE, UNREADABLE, FileReport, read_documents
from homespun.corpus.records import Wanted
from homespun.corpus.settings import CorpusConfig
from homespun.corpus.source_file import PYTHON_WORD, SourceFile
from homespun.corpus.sources import READABLE, FileList, count_of, list_files
from homespun.corpus.split import SPLITS, TRAIN, VALIDATION, split_documents

__all__ = ["CorpusManifest", "iterate_documents", "iterate_pairs", "iterate_texts", "prepare", "verify"]

FEWEST_CHARACTERS = 1_000


def prepare(
    sources: Sequence[str], out: Path, config: CorpusConfig | None = None, advance: Advance = ignore
) -> CorpusManifest:
    """Make the corpus folder ``out`` from ``sources`` and give its manifest.

    ``advance`` is given bytes as they are consumed; all in all the bytes that ``sources.scan`` announces.
    An existing corpus at ``out`` is replaced; any other folder with content is refused. Raises ``UsageError``
    for sources that are not there, ``HomespunError`` for sources that give too little text.
    """
    config = config or CorpusConfig()
    check_out(out, sources)
    listing = list_files(sources, leave_out=out)
    collector = Collector(listing, config, advance)
    with atomic_folder(out) as folder, contextlib.ExitStack() as stack:
        writers = {split: shards.ShardWriter(folder, split) for split in SPLITS}
        for writer in writers.values():
            stack.callback(writer.abandon)
        meter = stack.enter_context(CompressionMeter())
        documents = collector.documents()
        for split, document in split_documents(documents, config.validation_fraction, config.passage_characters):
            raw = writers[split].add(document)
            if split == VALIDATION:
                pair = sides(document)  # of a pair only the target is predicted
                meter.add(raw if pair is None else pair[1].encode("utf-8"))
        splits = {split: SplitManifest.of(writer.close()) for split, writer in writers.items()}
        check_enough(sources, collector, splits)
        manifest = CorpusManifest(__version__, tuple(sources), config, collector.counts, splits, meter.result())
        manifest.save(folder)
    return manifest


class Collector:
    """Goes over the files and keeps the account; ``documents`` yields what is kept."""

    def __init__(self, listing: FileList, config: CorpusConfig, advance: Advance) -> None:
        self.files = listing.files
        self.config = config
        self.wanted = Wanted(config.source_column, config.target_column)
        self.advance = advance
        self.seen = SeenIds()
        self.full = False
        self.counts = CorpusCounts(files_binary=listing.binary, unknown_endings=dict(listing.unknown_endings))
        for name in listing.unreadable:
            self.count_unreadable(f"{name}: folder cannot be opened")
        if config.maximum_bytes:
            # An even sample, whatever the folders: the order of the hashes of the names.
            self.files = sorted(self.files, key=lambda file: hashlib.sha256(file.label.encode()).digest())

    def documents(self) -> Iterator[Document]:
        """Normalized documents, each content once, until the cap is reached."""
        for number, file in enumerate(self.files):
            if self.is_full():
                self.leave_out(self.files[number:])
                return
            yield from self.documents_of(file)

    def documents_of(self, file: SourceFile) -> Iterator[Document]:
        """The kept documents of one file, and the file's line in the account."""
        report, progress = FileReport(), FileProgress(file, self.advance)
        kept_before = self.counts.documents_read
        for document in read_documents(file, report, progress.read, self.wanted):
            if self.is_full():
                self.counts.cut_short_by_cap = file.label
                break
            self.counts.documents_read += 1
            if kept := self.keep(document):
                yield kept
        progress.finish()
        self.account(file, report, gave_text=self.counts.documents_read > kept_before)

    def keep(self, document: Document) -> Document | None:
        """The document in its normal form; None when it is too short or known already."""
        text = normalize(document.text)
        if len(text) < self.config.minimum_characters:
            self.counts.documents_too_short += 1
            return None
        document = document.with_text(text)
        if not self.seen.add(document.id):
            self.counts.documents_duplicate += 1
            return None
        return self.count_kept(self.within_cap(document))

    def within_cap(self, document: Document) -> Document | None:
        """The document, or as much of its beginning as the cap has room for."""
        if not self.config.maximum_bytes:
            return document
        room = self.config.maximum_bytes - self.counts.bytes_kept
        raw = document.text.encode("utf-8")
        if len(raw) <= room:
            return document
        self.counts.cut_short_by_cap = document.source
        fitting = raw[:room].decode("utf-8", "ignore")
        # Whatever is left of the room is too small to be worth another file.
        self.full = True
        if self.wanted.pairs:
            return None
        text = document.text[: find_border(document.text, 0, len(fitting))].rstrip() if fitting else ""
        return document.with_text(text) if text else None

    def is_full(self) -> bool:
        """Whether the cap is reached."""
        return self.full or 0 < self.config.maximum_bytes <= self.counts.bytes_kept

    def count_kept(self, document: Document | None) -> Document | None:
        """Counts a document on its way."""
        if document is not None:
            self.counts.documents_kept += 1
            self.counts.characters_kept += len(document.text)
            self.counts.bytes_kept += len(document.text.encode("utf-8"))
        return document

    def leave_out(self, files: Sequence[SourceFile]) -> None:
        """The account of what the cap leaves unread."""
        self.counts.files_left_out_by_cap = len(files)
        self.counts.bytes_left_out_by_cap = sum(file.estimated_bytes for file in files)
        self.advance(self.counts.bytes_left_out_by_cap)

    def account(self, file: SourceFile, report: FileReport, *, gave_text: bool) -> None:
        """Adds a file's report to the counts; raises for a table that the user named and that has no text column."""
        counts = self.counts
        if report.problem == NO_TEXT_COLUMN:
            line = f"{file.label} has no {self.lacking()}; its columns: {name_columns(report.columns)}"
            if file.named:
                raise HomespunError(f"{line}; {self.advice()}")
            counts.files_without_text_column += 1
            counts.name(counts.without_text_column, line)
        elif report.problem == BINARY:
            counts.files_binary += 1
        elif report.problem == UNDECODABLE:
            counts.files_undecodable += 1
        elif report.problem == UNREADABLE:
            self.count_unreadable(f"{file.label}: {report.reason}")
        if not report.problem or gave_text:
            counts.files_read += 1
            counts.tally(counts.endings, file.ending or "(none)")
            for encoding in report.encodings:
                counts.tally(counts.encodings, encoding)
        if report.malformed.count:
            counts.malformed_lines += report.malformed.count
            counts.name(
                counts.malformed_files,
                f"{file.label}: {report.malformed.count:,} malformed, the first in line {report.malformed.first_line}",
            )

    def lacking(self) -> str:
        """What a table must have."""
        if self.wanted.pairs:
            return f"columns {self.wanted.source} and {self.wanted.target} (for pairs of texts)"
        return "text column (no text, content, document or body)"

    def advice(self) -> str:
        """What to do about it."""
        if self.wanted.pairs:
            return "name them with corpus.source_column and corpus.target_column"
        return "rename the one with the text to text"

    def count_unreadable(self, line: str) -> None:
        """One more file or folder that could not be read."""
        self.counts.files_unreadable += 1
        self.counts.name(self.counts.unreadable_files, line)


class FileProgress:
    """Turns bytes from the disk into bytes of text, so that a file adds up to its estimate, read whole or not."""

    def __init__(self, file: SourceFile, advance: Advance) -> None:
        self.remaining = file.estimated_bytes
        self.expansion = file.expansion
        self.advance = advance

    def read(self, amount: int) -> None:
        """Bytes were taken from the disk."""
        step = min(self.remaining, amount * self.expansion)
        self.remaining -= step
        self.advance(step)

    def finish(self) -> None:
        """The file is done with."""
        self.read(self.remaining)


def check_out(out: Path, sources: Sequence[str]) -> None:
    """Refuse to replace what is no corpus, and to replace what is being read."""
    real = out.resolve()
    for source in sources:
        if source != PYTHON_WORD and Path(source).expanduser().resolve().is_relative_to(real):
            raise UsageError(
                f"the source {source} lies inside the output {out}, which is replaced; choose another output"
            )
    if out.exists() and not out.is_dir():
        raise UsageError(f"the output {out} is a file; choose a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST_NAME).is_file():
        raise UsageError(f"the output {out} has other things in it and is no corpus; choose a new folder")


def name_columns(columns: Sequence[str]) -> str:
    """The first ten columns, none of them longer than 40 characters, on one line."""
    names = [" ".join(name[:40].split()) for name in columns[:10]]
    return ", ".join([*names, "..."] if len(columns) > 10 else names) or "none"


def check_enough(sources: Sequence[str], collector: Collector, splits: dict[str, SplitManifest]) -> None:
    """One line when there is nothing, or too little, to train on."""
    counts, names = collector.counts, " ".join(sources)
    if not counts.files_read:
        raise HomespunError(nothing_read(names, collector))
    if counts.characters_kept < FEWEST_CHARACTERS:
        raise HomespunError(
            f"the sources hold {count_of(counts.characters_kept, 'character')} of text; "
            f"at least {FEWEST_CHARACTERS:,} are needed to train anything"
        )
    if not splits[TRAIN].documents or not splits[VALIDATION].documents:
        raise HomespunError("the sources repeat one passage over and over; give text that can be split in two")


def nothing_read(names: str, collector: Collector) -> str:
    """What was seen in sources of which no file could be read."""
    counts = collector.counts
    if counts.without_text_column:
        return f"{counts.without_text_column[0]}; {collector.advice()}"
    binary = counts.files_binary + counts.files_undecodable
    if not counts.files_unreadable:
        return f"{names}: {count_of(binary, 'file')}, all binary; {READABLE}"
    first = counts.unreadable_files[0]
    return f"{names}: {count_of(counts.files_unreadable, 'file')} unreadable, {binary:,} binary; the first: {first}"


def iterate_documents(folder: Path, split: str) -> Iterator[Document]:
    """The documents of a split, in order, a row group in memory at a time. ``split``: train or validation."""
    for path in shard_paths(folder, split):
        yield from shards.read_shard(path)


def iterate_texts(folder: Path, split: str) -> Iterator[str]:
    """The texts of a split, in order; only that column is read."""
    for path in shard_paths(folder, split):
        yield from shards.read_texts(path)


def iterate_pairs(folder: Path, split: str) -> Iterator[tuple[str, str]]:
    """Source and target of the pairs of a split, in order; ``HomespunError`` if the corpus holds anything else."""
    for document in iterate_documents(folder, split):
        pair = sides(document)
        if pair is None:
            raise HomespunError(
                f"{folder} holds texts, not pairs of texts; prepare it with corpus.source_column and "
                "corpus.target_column, the columns of a table"
            )
        yield pair


def shard_paths(folder: Path, split: str) -> list[Path]:
    """The files of a split, by the manifest."""
    if split not in SPLITS:
        raise UsageError(f"there is no split {split}; the splits are {' and '.join(SPLITS)}")
    return [folder / shard.name for shard in CorpusManifest.load(folder).splits[split].shards]
