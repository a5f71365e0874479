"""One file to its documents: chooses the reader by the file's kind, and accounts for what went wrong.

In: a ``SourceFile``. Out: ``Document`` entries with raw text (not yet normalized), and a ``FileReport``.
A text longer than 4 Mi characters comes as several consecutive documents, cut at blank lines where there
are any, so that a file of many gigabytes is never held whole.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from homespun.common.progress import Advance, ignore
from homespun.corpus.borders import cut, find_border
from homespun.corpus.decode import UTF8, BinaryError, UndecodableError, decode, decode_blocks, looks_binary
from homespun.corpus.document import Document, make_document
from homespun.corpus.extract_html import declared_encoding, extract_text
from homespun.corpus.opening import DAMAGE, open_bytes, read_blocks
from homespun.corpus.pairs import make_pair
from homespun.corpus.python_library import library_documents
from homespun.corpus.records import (
    TEXTS,
    Malformed,
    NoTextColumnError,
    Record,
    Wanted,
    make_record,
    read_json,
    read_json_lines,
    read_table,
)
from homespun.corpus.source_file import HTML, JSON_RECORDS, LIBRARY, PARQUET, TABLE, SourceFile

PIECE_CHARACTERS = 1 << 22
LARGEST_PAGE = 1 << 25
PARQUET_ROWS = 256
BINARY, UNDECODABLE, UNREADABLE, NO_TEXT_COLUMN = "binary", "undecodable", "unreadable", "no text column"


@dataclass
class FileReport:
    """What became of one file: ``problem`` is empty or one of the four words above, ``reason`` says more."""

    problem: str = ""
    reason: str = ""
    columns: tuple[str, ...] = ()
    encodings: set[str] = field(default_factory=set)
    malformed: Malformed = field(default_factory=Malformed)


def read_documents(
    file: SourceFile, report: FileReport, advance: Advance = ignore, wanted: Wanted = TEXTS
) -> Iterator[Document]:
    """The documents of one file. Never raises for what the file holds: ``report`` tells.

    ``advance`` is given the bytes taken from the disk. What was read before damage is yielded. Where pairs are
    ``wanted``, only tables have any.
    """
    try:
        for document in reader_of(file, wanted)(file, report, advance, wanted):
            if len(document.text) <= PIECE_CHARACTERS:
                yield document
            else:
                for number, piece in enumerate(cut(document.text, PIECE_CHARACTERS)):
                    yield document.with_text(piece, piece=number)
    except UndecodableError as error:
        report.problem = BINARY if isinstance(error, BinaryError) else UNDECODABLE
    except NoTextColumnError as error:
        report.problem, report.columns = NO_TEXT_COLUMN, error.columns
    except DAMAGE as error:
        report.problem, report.reason = UNREADABLE, " ".join(str(error).split())[:200]


def decoded_texts(file: SourceFile, report: FileReport, advance: Advance) -> Iterator[str]:
    """The text of a file, block by block; each encoding is counted once per file."""
    with open_bytes(file.path, file.compression, advance) as stream:
        for decoded in decode_blocks(read_blocks(stream)):
            report.encodings.add(decoded.encoding)
            yield decoded.text


def read_plain(file: SourceFile, report: FileReport, advance: Advance, wanted: Wanted) -> Iterator[Document]:
    """A text file: one document, or several when it is long."""
    yield from plain_documents(file, decoded_texts(file, report, advance))


def plain_documents(file: SourceFile, texts: Iterable[str]) -> Iterator[Document]:
    """Consecutive texts gathered to documents of at most 4 Mi characters."""
    waiting: list[str] = []
    characters = number = 0
    for text in texts:
        waiting.append(text)
        characters += len(text)
        while characters > PIECE_CHARACTERS:
            held = "".join(waiting)
            border = find_border(held, 0, PIECE_CHARACTERS)
            yield make_document(held[:border], file.label, metadata={"piece": number})
            number += 1
            waiting, characters = [held[border:]], len(held) - border
    rest = "".join(waiting)
    if rest:
        yield make_document(rest, file.label, metadata={"piece": number} if number else {})


def read_json_file(file: SourceFile, report: FileReport, advance: Advance, wanted: Wanted) -> Iterator[Document]:
    """JSON lines, or a JSON list."""
    read = read_json if file.ending == ".json" else read_json_lines
    yield from documents_of(read(decoded_texts(file, report, advance), report.malformed, wanted), file)


def read_table_file(file: SourceFile, report: FileReport, advance: Advance, wanted: Wanted) -> Iterator[Document]:
    """CSV or TSV by its text column; plain text when it has none."""
    records = read_table(decoded_texts(file, report, advance), file.ending, report.malformed, wanted)
    yield from documents_of(records, file) if records is not None else read_plain(file, report, advance, wanted)


def documents_of(records: Iterable[Record], file: SourceFile) -> Iterator[Document]:
    """Records as documents of ``file``."""
    for record in records:
        if record.target is not None:
            yield make_pair(record.text, record.target, file.label)
            continue
        yield make_document(record.text, file.label, url=record.url, language=record.language, metadata=record.metadata)


def read_html(file: SourceFile, report: FileReport, advance: Advance, wanted: Wanted) -> Iterator[Document]:
    """One web page; the parser needs it whole, so one of more than 32 MiB counts as unreadable."""
    with open_bytes(file.path, file.compression, advance) as stream:
        blocks, size = [], 0
        for block in read_blocks(stream):
            blocks.append(block)
            size += len(block)
            if size > LARGEST_PAGE:
                raise OSError(f"a web page of more than {LARGEST_PAGE >> 20} MiB")
    raw = b"".join(blocks)
    html, encoding = decode_page(raw)
    report.encodings.add(encoding)
    yield make_document(extract_text(html), file.label)


def decode_page(raw: bytes) -> tuple[str, str]:
    """A page by the encoding it names, where that fits strictly; otherwise as any other text."""
    named = declared_encoding(raw[:4096])
    if named and not looks_binary(raw) and not raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            # Browsers read iso-8859-1 as windows-1252 (WHATWG Encoding Standard, section 4.2).
            codec = "cp1252" if named in ("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii") else named
            return raw.decode(codec), named
        except (UnicodeDecodeError, LookupError):
            pass
    decoded = decode(raw)
    return decoded.text, decoded.encoding


def read_parquet(file: SourceFile, report: FileReport, advance: Advance, wanted: Wanted) -> Iterator[Document]:
    """A Parquet table by its text column, in batches of rows; a compressed one is unpacked to a temporary file."""
    from pyarrow import ArrowException, parquet

    try:
        with open_bytes(file.path, file.compression) as stream, tempfile.TemporaryFile() as unpacked:
            if file.compression:
                shutil.copyfileobj(stream, unpacked)
                unpacked.seek(0)
            with parquet.ParquetFile(unpacked if file.compression else file.path) as table:
                columns = wanted.find(table.schema_arrow.names)
                if columns is None:
                    raise NoTextColumnError(table.schema_arrow.names)
                read = 0
                for batch in table.iter_batches(PARQUET_ROWS, columns=columns.names, use_threads=False):
                    read += batch.num_rows
                    advance(file.disk_bytes * batch.num_rows // max(1, table.metadata.num_rows))
                    for row_number, row in enumerate(batch.to_pylist(), read - batch.num_rows + 1):
                        record = make_record(row, columns)
                        if record is None:
                            report.malformed.add(row_number)
                        else:
                            yield from documents_of([record], file)
    except ArrowException as error:
        raise OSError(str(error)) from error


def read_library(file: SourceFile, report: FileReport, advance: Advance, wanted: Wanted) -> Iterator[Document]:
    """A module of Python's standard library."""
    report.encodings.add(UTF8)
    advance(file.disk_bytes)
    yield from library_documents(file)


def read_nothing(file: SourceFile, report: FileReport, advance: Advance, wanted: Wanted) -> Iterator[Document]:
    """A file that cannot hold pairs."""
    raise NoTextColumnError([])


Reader = Callable[[SourceFile, FileReport, Advance, Wanted], Iterator[Document]]
READERS: dict[str, Reader] = {
    JSON_RECORDS: read_json_file,
    TABLE: read_table_file,
    HTML: read_html,
    PARQUET: read_parquet,
    LIBRARY: read_library,
}
TABLES = (JSON_RECORDS, TABLE, PARQUET)


def reader_of(file: SourceFile, wanted: Wanted) -> Reader:
    """What reads a file of this kind."""
    return read_nothing if wanted.pairs and file.kind not in TABLES else READERS.get(file.kind, read_plain)
