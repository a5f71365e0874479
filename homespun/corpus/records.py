"""Text to records: JSON, JSON lines, CSV and TSV, each streaming; and the text column of a table.

In: the decoded texts of one file. Out: ``Record`` entries. The text is the column ``text``, else the first
there is of ``TEXT_COLUMNS``, whatever its case; or two columns that the user has named, for pairs of texts. Lines that
do not parse are counted and passed over.

A CSV or TSV file without such a column (one token per line, tables of numbers) is no table of documents:
``read_table`` answers ``None`` and the file is read as plain text.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

TEXT_COLUMNS = (
    "text", "content", "document", "body", "raw_content", "article", "markdown", "passage", "sentence", "story",
    "review", "abstract",
)  # fmt: skip
URL_COLUMNS = ("url", "uri", "link")
LANGUAGE_COLUMNS = ("language", "lang")
METADATA_COLUMNS = ("title", "author", "date", "license")
DELIMITERS = {".csv": (",", ";", "\t"), ".tsv": ("\t",)}
# One record longer than this is taken for damage (a quote that never closes), so that memory stays bounded.
LONGEST_RECORD = 1 << 25


@dataclass(frozen=True)
class Record:
    """The parts of a table's row that a document has a place for; of a pair ``text`` is the source."""

    text: str
    url: str | None = None
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    target: str | None = None


@dataclass
class Malformed:
    """How many lines or records did not parse or had no text, and the number of the first such line (from 1)."""

    count: int = 0
    first_line: int = 0

    def add(self, line: int) -> None:
        self.count += 1
        self.first_line = self.first_line or line


class NoTextColumnError(Exception):
    """A table without a text column; ``columns`` are those it has."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(", ".join(columns))
        self.columns = tuple(columns)


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are used, by their real names."""

    text: str
    url: str | None
    language: str | None
    metadata: tuple[str, ...]
    target: str | None = None

    @property
    def names(self) -> list[str]:
        """All of them, each once."""
        all_names = (self.text, self.target, self.url, self.language, *self.metadata)
        return [name for name in dict.fromkeys(all_names) if name]


def by_lower_case(names: Iterable[str]) -> dict[str, str]:
    """Columns by their names in lower case; of equal ones the first."""
    return {name.strip().lower(): name for name in reversed(list(names))}


def find_columns(names: Iterable[str]) -> Columns | None:
    """The columns to use among ``names``; None when none of them is known to hold text."""
    known = by_lower_case(names)

    def first(candidates: Sequence[str]) -> str | None:
        return next((known[name] for name in candidates if name in known), None)

    text = first(TEXT_COLUMNS)
    if text is None:
        return None
    return Columns(
        text, first(URL_COLUMNS), first(LANGUAGE_COLUMNS), tuple(known[n] for n in METADATA_COLUMNS if n in known)
    )


@dataclass(frozen=True)
class Wanted:
    """What a document is made of: a text, or a pair from the columns that the user has named."""

    source: str = ""
    target: str = ""

    @property
    def pairs(self) -> bool:
        """Whether documents are pairs."""
        return bool(self.source)

    def find(self, names: Iterable[str]) -> Columns | None:
        """The columns to use among ``names``; None when they are not there. Upper and lower case are the same."""
        if not self.pairs:
            return find_columns(names)
        known = by_lower_case(names)
        source, target = (known.get(name.strip().lower()) for name in (self.source, self.target))
        return None if source is None or target is None else Columns(source, None, None, (), target)


TEXTS = Wanted()


def make_record(row: dict[str, Any], columns: Columns) -> Record | None:
    """The record of a row; None when its text, or of a pair one of both, is missing or no string."""
    text = row.get(columns.text)
    target = row.get(columns.target) if columns.target else None
    if not isinstance(text, str) or (columns.target and not isinstance(target, str)):
        return None

    def string(name: str | None) -> str | None:
        value = row.get(name) if name else None
        return value if isinstance(value, str) and value else None

    metadata = {name.lower(): value for name in columns.metadata if (value := string(name))}
    return Record(text, string(columns.url), string(columns.language), metadata, target)


def lines_of(texts: Iterable[str]) -> Iterator[str]:
    """Lines with their ``\\n``, from consecutive pieces of text; a line of more than 32 Mi characters is broken."""
    held = ""
    for text in texts:
        *whole, rest = (held + text).split("\n") if held else text.split("\n")
        for line in whole:
            yield line + "\n"
        held = rest
        if len(held) > LONGEST_RECORD:
            yield held
            held = ""
    if held:
        yield held


def read_json_lines(texts: Iterable[str], malformed: Malformed, wanted: Wanted = TEXTS) -> Iterator[Record]:
    """One JSON object (or string) per line; empty lines are nothing. Raises ``NoTextColumnError``."""
    values = parse_lines(lines_of(texts), malformed)
    yield from records_of_values(values, malformed, wanted)


def parse_lines(lines: Iterable[str], malformed: Malformed) -> Iterator[tuple[int, Any]]:
    """The value of every line that is JSON, with the number of the line."""
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError):
            malformed.add(number)


def read_json(texts: Iterable[str], malformed: Malformed, wanted: Wanted = TEXTS) -> Iterator[Record]:
    """A JSON list of objects or strings, one object, or several one after another. Raises ``NoTextColumnError``."""
    yield from records_of_values(parse_values(texts, malformed), malformed, wanted)


def parse_values(texts: Iterable[str], malformed: Malformed) -> Iterator[tuple[int, Any]]:
    """The items of a JSON list, one by one, without holding the list.

    A value that is not whole yet is tried again when the text held has doubled, so that the work stays
    linear in the length of the longest value; one beyond 32 Mi characters, or not JSON, ends the file.
    """
    decoder, stream = json.JSONDecoder(), iter(texts)
    held, line, ended, wanted = "", 1, False, 0
    while True:
        while not ended and len(held) < max(wanted, 1):
            text = next(stream, None)
            ended = text is None
            held += text or ""
        # Between the items of the outer list stand only brackets, commas and white space.
        item = held.lstrip("[], \t\r\n")
        line += held.count("\n", 0, len(held) - len(item))
        held = item
        if not held:
            if ended:
                return
            wanted = 1
            continue
        try:
            value, end = decoder.raw_decode(held)
        except (ValueError, RecursionError) as error:
            if ended or len(held) > LONGEST_RECORD or isinstance(error, RecursionError):
                malformed.add(line)
                return
            wanted = 2 * len(held)
            continue
        yield line, value
        line += held.count("\n", 0, end)
        held, wanted = held[end:], 0


def records_of_values(values: Iterable[tuple[int, Any]], malformed: Malformed, wanted: Wanted) -> Iterator[Record]:
    """Objects by their text column, strings as they are; the first object decides which columns there are.

    A string is a text, and no pair.
    """
    columns: Columns | None = None
    for line, value in values:
        record = None
        if isinstance(value, str):
            record = None if wanted.pairs else Record(value)
        elif isinstance(value, dict):
            columns = columns or wanted.find(value)
            if columns is None:
                raise NoTextColumnError(list(value))
            record = make_record(value, columns)
        if record is None:
            malformed.add(line)
        else:
            yield record


def read_table(
    texts: Iterable[str], ending: str, malformed: Malformed, wanted: Wanted = TEXTS
) -> Iterator[Record] | None:
    """The rows of a CSV or TSV file with a header that names a text column; None when there is no such header.

    After None, ``texts`` has lost its first lines; give an iterator that can be started again. Where pairs are wanted
    nothing else will do: ``NoTextColumnError``.
    """
    lines = lines_of(texts)
    header = next(lines, "")
    names: list[str] = []
    for delimiter in DELIMITERS[ending]:
        names = [unquoted(name) for name in header.rstrip("\r\n").lstrip("\ufeff").split(delimiter)]
        columns = wanted.find(names)
        # A file with one column has no delimiter; any other must have one in its header.
        if columns and (len(names) > 1 or delimiter == DELIMITERS[ending][0]):
            rows = tab_rows(lines) if delimiter == "\t" else quoted_rows(lines, delimiter, malformed)
            return records_of_rows(rows, names, columns, malformed)
    if wanted.pairs:
        raise NoTextColumnError(names)
    return None


def records_of_rows(
    rows: Iterable[tuple[int, list[str]]], names: list[str], columns: Columns, malformed: Malformed
) -> Iterator[Record]:
    """Rows to records; a row without the text column's field is malformed."""
    for line, row in rows:
        if not row:
            continue
        record = make_record(dict(zip(names, row, strict=False)), columns)
        if record is None:
            malformed.add(line)
        else:
            yield record


def quoted_rows(lines: Iterable[str], delimiter: str, malformed: Malformed) -> Iterator[tuple[int, list[str]]]:
    """CSV rows (RFC 4180): quoted fields may hold delimiters and line ends."""
    reader = csv.reader(lines, delimiter=delimiter)
    previous_limit = csv.field_size_limit(LONGEST_RECORD)
    try:
        while True:
            line = reader.line_num + 2
            try:
                yield line, next(reader)
            except csv.Error:
                malformed.add(line)
            except StopIteration:
                return
    finally:
        csv.field_size_limit(previous_limit)


def tab_rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """TSV rows (IANA text/tab-separated-values): a line is a row, and a quote inside a field is only a quote."""
    for number, line in enumerate(lines, 2):
        line = line.rstrip("\r\n")
        yield number, [unquoted(value) for value in line.split("\t")] if line else []


def unquoted(value: str) -> str:
    """A field without the quotes around it; of ``"one" and "two"`` they are not around it but in it."""
    if len(value) >= 2 and value[0] == value[-1] == '"' and '"' not in value[1:-1].replace('""', ""):
        return value[1:-1].replace('""', '"')
    return value
