"""A table of texts and labels -> its rows, each with the place where it stands.

In: a CSV, TSV, JSON, JSON-lines or Parquet file, compressed or not, and the names of the columns. Out: ``Row`` entries.
Labelled data is small and dear, so nothing is passed over in silence: the first line that is no row ends the reading
with one line that names it, unless the user has asked to skip such lines; then they are counted. Columns named by
numbers are those of a file without a line of names.
"""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from homespun.common.errors import DamagedFileError, UsageError
from homespun.common.files import explain_os_error
from homespun.corpus.decode import DAMAGED_UTF8, MARKED_UTF8, MARKS, UTF8, UndecodableError, decode_blocks
from homespun.corpus.opening import DAMAGE, open_bytes, read_blocks
from homespun.corpus.records import Malformed, lines_of, parse_lines, parse_values, quoted_rows, tab_rows, unquoted
from homespun.corpus.source_file import endings
from homespun.labelled.settings import LabelledConfig

DELIMITERS = {".csv": (",", ";", "\t"), ".tsv": ("\t",)}
ANY_DELIMITER = ("\t", ",", ";")  # of a file whose name does not say what it is
PARQUET_ROWS = 1024
SURE_ENCODINGS = {UTF8, MARKED_UTF8, *(name for _, name in MARKS)}

Values = Iterator[tuple[int, dict[str, Any]]]  # number of the line, from 1, and what its columns hold


class Row(NamedTuple):
    """``split``: what its column says, or empty. ``place``: the file and the line, for people."""

    text: str
    label: str
    split: str
    place: str


class Strictness(Protocol):
    """Settings that say what becomes of lines that are no rows; ``section``: where they stand."""

    section: ClassVar[str]

    @property
    def malformed(self) -> str: ...


class Faults(Malformed):
    """Lines of one file that are no rows: an error each, or counted."""

    def __init__(self, path: Path, config: Strictness) -> None:
        super().__init__()
        self.path, self.section = path, config.section
        self.skip = config.malformed == "skip"
        self.ahead = 0  # by how much the numbers of lines that readers tell are too large

    def add(self, line: int, why: str = "cannot be parsed") -> None:
        """``DamagedFileError`` that says ``why``, unless such lines are skipped."""
        super().add(line)
        if not self.skip:
            raise DamagedFileError(
                f"{self.path}, line {line - self.ahead:,} {why}; correct it, or skip such lines: "
                f"--{self.section}.malformed skip"
            )


def read_rows(path: Path, config: LabelledConfig, faults: Faults | None = None) -> Iterator[Row]:
    """The rows of a file. ``UsageError`` for a column that it lacks, ``DamagedFileError`` for a line that is no row."""
    faults = Faults(path, config) if faults is None else faults
    for line, values in read_columns(path, config.columns, faults):
        text = values[config.text_column]
        label = as_label(values[config.label_column])
        # A column may have an empty name: it is not the one that nobody has named.
        split = as_label(values[config.split_column]) if config.split_column else ""
        if not isinstance(text, str) and text is not None:
            faults.add(line + faults.ahead, f"has {text!r:.60} for a text")
        elif not label:
            faults.add(line + faults.ahead, f"has no label ({values[config.label_column]!r:.60})")
        else:
            yield Row(text or "", label, split, f"{path}, line {line:,}")


def read_columns(path: Path, columns: Sequence[str], faults: Faults) -> Values:
    """The rows of a file, each with the number of its line; all have these columns, or ``UsageError`` says which not.

    ``DamagedFileError`` for a line that is no row, unless ``faults`` counts it.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}; name a table (CSV, TSV, JSON, JSON lines or Parquet)")
    ending, compression = endings(path.name)
    try:
        for line, values in READERS.get(ending, read_table)(path, ending, compression, columns, faults):
            check_columns(values, columns, f"{path}, line {line:,}")
            yield line, values
    except UndecodableError as error:
        raise DamagedFileError(f"{path} is no table of text (its bytes are no text)") from error
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise explain_os_error(error, "cannot read") from error
        raise DamagedFileError(f"{path} is damaged ({' '.join(str(error).split())[:200]})") from error


def check_columns(values: dict[str, Any], wanted: Iterable[str], place: str) -> None:
    """``UsageError`` for the first column that is not there."""
    for name in wanted:
        if name not in values:
            raise UsageError(f"{place} has no column {name!r}; it has {', '.join(map(repr, values)) or 'none'}")


def as_label(value: Any) -> str:
    """Words, whole numbers and truth values name a class; nothing, and numbers with fractions, do not: empty.

    White space does not tell labels apart.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    return " ".join(str(value).split()) if isinstance(value, int | str) else ""


def texts_of(path: Path, compression: str, guess: bool = True) -> Iterator[str]:
    """The decoded text of a file, block by block.

    ``guess`` False: what only looks like another encoding is refused, since a wrong guess would teach wrong letters.
    """
    with open_bytes(path, compression) as stream:
        for decoded in decode_blocks(read_blocks(stream)):
            if decoded.encoding not in SURE_ENCODINGS and not guess:
                found = "some bytes are damaged" if decoded.encoding == DAMAGED_UTF8 else f"perhaps {decoded.encoding}"
                raise DamagedFileError(
                    f"{path} is not UTF-8 ({found}); convert it, or read it like that: --labelled.malformed skip"
                )
            yield decoded.text


def read_json_lines(path: Path, ending: str, compression: str, columns: Sequence[str], faults: Faults) -> Values:
    """One JSON object per line."""
    yield from objects(parse_lines(lines_of(texts_of(path, compression, faults.skip)), faults), faults)


def read_json(path: Path, ending: str, compression: str, columns: Sequence[str], faults: Faults) -> Values:
    """A JSON list of objects."""
    yield from objects(parse_values(texts_of(path, compression, faults.skip), faults), faults)


def objects(values: Iterable[tuple[int, Any]], faults: Faults) -> Values:
    """Only objects have columns."""
    for line, value in values:
        if isinstance(value, dict):
            yield line, value
        else:
            faults.add(line, "is not a JSON object with columns")


def read_parquet(path: Path, ending: str, compression: str, columns: Sequence[str], faults: Faults) -> Values:
    """The wanted columns of a Parquet table; a compressed file is unpacked to a temporary one."""
    from pyarrow import ArrowException, parquet

    try:
        with open_bytes(path, compression) as stream, tempfile.TemporaryFile() as unpacked:
            if compression:
                shutil.copyfileobj(stream, unpacked)
                unpacked.seek(0)
            with parquet.ParquetFile(unpacked if compression else path) as table:
                check_columns(dict.fromkeys(table.schema_arrow.names), columns, str(path))
                line = 0
                for batch in table.iter_batches(PARQUET_ROWS, columns=list(columns), use_threads=False):
                    for row in batch.to_pylist():
                        line += 1
                        yield line, row
    except ArrowException as error:
        raise OSError(str(error)) from error


def read_table(path: Path, ending: str, compression: str, columns: Sequence[str], faults: Faults) -> Values:
    """CSV (RFC 4180) or TSV; every row has as many fields as the first line."""
    lines = lines_of(texts_of(path, compression, faults.skip))
    head = next(lines, "").lstrip("\ufeff")
    if not head:
        return
    delimiter, names = delimited(head, DELIMITERS.get(ending, ANY_DELIMITER), columns, path)
    if not set(columns) <= set(names):  # they are numbers, and the first line is a row
        names, lines = [str(number) for number in range(1, len(names) + 1)], chain([head], lines)
        faults.ahead = 1  # the corpus' readers count from behind a line of names
    rows = tab_rows(lines) if delimiter == "\t" else quoted_rows(lines, delimiter, faults)
    for line, row in rows:
        if row and len(row) != len(names):
            faults.add(line, f"has {len(row)} fields, and the first line {len(names)}")
        elif row:
            yield line - faults.ahead, dict(zip(names, row, strict=True))


def delimited(head: str, delimiters: Sequence[str], columns: Sequence[str], path: Path) -> tuple[str, list[str]]:
    """The delimiter under which the first line has the wanted columns, and the fields of that line."""
    splits = [[unquoted(name) for name in head.rstrip("\r\n").split(delimiter)] for delimiter in delimiters]
    for delimiter, names in zip(delimiters, splits, strict=True):
        if set(columns) <= set(names) or has_places(columns, names):
            return delimiter, names
    check_columns(dict.fromkeys(max(splits, key=len)), columns, str(path))
    raise AssertionError("one of the columns is missing")


def has_places(columns: Sequence[str], fields: Sequence[str]) -> bool:
    """Whether all columns are numbers of fields, counted from 1."""
    return all(name.isdecimal() and 1 <= int(name) <= len(fields) for name in columns)


Reader = Callable[[Path, str, str, Sequence[str], Faults], Values]
READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".parquet": read_parquet,
}
