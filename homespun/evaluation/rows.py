"""A file of examples -> its rows, every one of them or an error that names the line.

Training text may have holes; a test may not, or its figures are those of another test. So what the corpus counts and
passes over (lines that are no JSON, rows with a missing field) is refused here. The readers are the corpus's own.

In: JSON lines, JSON, CSV, TSV, Parquet, compressed or not, or plain text (each line a row with the column ``text``).
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from homespun.common.errors import UsageError
from homespun.common.files import explain_os_error
from homespun.common.progress import ignore
from homespun.corpus.decode import UndecodableError
from homespun.corpus.opening import DAMAGE, open_bytes
from homespun.corpus.read import FileReport, decoded_texts
from homespun.corpus.records import (
    DELIMITERS,
    Malformed,
    lines_of,
    parse_lines,
    parse_values,
    quoted_rows,
    tab_rows,
    unquoted,
)
from homespun.corpus.source_file import JSON_RECORDS, PARQUET, TABLE, SourceFile, describe


@dataclass(frozen=True)
class Row:
    """``where``: the file and line, for people. ``number``: which row of the file, from 0."""

    values: dict[str, Any]
    where: str
    number: int


def read_rows(path: Path) -> list[Row]:
    """All rows of the file. ``UsageError`` where it is missing, empty, damaged or malformed."""
    try:
        file = describe(path, path.name, named=True)
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file of examples")
        found = list(values_of(file))
    except UndecodableError as error:
        raise UsageError(f"{path} holds no text (its encoding is unknown, or it is binary)") from error
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except DAMAGE as error:
        reason = explain_os_error(error, "cannot read") if isinstance(error, OSError) else error
        raise UsageError(f"{path}: {' '.join(str(reason).split())[:200]}") from error
    if not found:
        raise UsageError(f"{path} has no examples in it")
    rows = []
    for number, (line, value) in enumerate(found):
        where = f"{path.name}, line {line:,}"
        if not isinstance(value, dict):
            raise UsageError(f"{where}: not an object with columns, but {str(value)[:40]!r}")
        if not is_text(value):
            raise UsageError(f"{where}: holds half of a surrogate pair, which is no character; correct it")
        rows.append(Row({str(key): item for key, item in value.items()}, where, number))
    return rows


def is_text(value: Any) -> bool:
    """Whether all texts in a JSON value are made of whole characters; escapes in JSON can name half of one."""
    if isinstance(value, dict):
        return all(map(is_text, [*value, *value.values()]))
    if isinstance(value, list):
        return all(map(is_text, value))
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


def values_of(file: SourceFile) -> Iterator[tuple[int, Any]]:
    """Line numbers and rows of a file of any kind."""
    if file.kind == PARQUET:
        yield from parquet_rows(file)
        return
    texts, malformed = decoded_texts(file, FileReport(), ignore), Malformed()
    if file.kind == JSON_RECORDS:
        parsed = parse_values(texts, malformed) if file.ending == ".json" else parse_lines(lines_of(texts), malformed)
        found: Iterator[tuple[int, Any]] = parsed
    elif file.kind == TABLE:
        found = table_rows(lines_of(texts), file, malformed)
    else:
        lines = (line.rstrip("\r\n") for line in lines_of(texts))
        found = ((number, {"text": line}) for number, line in enumerate(lines, 1) if line.strip())
    for line, value in found:
        if malformed.count:
            break
        yield line, value
    if malformed.count:
        wanted = "JSON" if file.kind == JSON_RECORDS else "a row of this table"
        raise UsageError(f"{file.path}, line {malformed.first_line:,}: not {wanted}; mend it or take it out")


def table_rows(lines: Iterator[str], file: SourceFile, malformed: Malformed) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV or TSV file by the names in its first line."""
    header = next(lines, "").lstrip("\ufeff").rstrip("\r\n")
    if not header:
        return
    delimiter = max(DELIMITERS[file.ending], key=header.count)
    tabs = delimiter == "\t"
    names = [unquoted(name) for name in header.split("\t")] if tabs else next(csv.reader([header], delimiter=delimiter))
    for line, row in tab_rows(lines) if tabs else quoted_rows(lines, delimiter, malformed):
        if not row:
            continue
        if len(row) != len(names):
            raise UsageError(f"{file.path}, line {line:,}: {len(row)} fields, where the first line names {len(names)}")
        yield line, dict(zip(names, row, strict=True))


def parquet_rows(file: SourceFile) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a Parquet table, numbered from 1."""
    from pyarrow import ArrowException, BufferReader, parquet

    try:
        with open_bytes(file.path, file.compression) as stream:
            table = parquet.read_table(BufferReader(stream.read()))
    except ArrowException as error:
        raise UsageError(f"{file.path} is no Parquet table ({' '.join(str(error).split())[:120]})") from error
    yield from enumerate(chain.from_iterable(batch.to_pylist() for batch in table.to_batches()), 1)
