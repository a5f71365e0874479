"""A file of conversations, pairs or preferences -> them, one by one; nothing is passed over in silence.

In: a JSON file (a list of objects) or JSON lines, compressed or not; for pairs any table. Out: what ``make`` makes of
each object or row.
The first one that cannot be used ends the reading with the number of its line, unless the user has asked to skip such;
then they are counted. One in which somebody says nothing, or with twice the same answer, is left out and counted.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from homespun.common.errors import DamagedFileError, UsageError
from homespun.common.files import explain_os_error
from homespun.corpus.decode import UndecodableError
from homespun.corpus.opening import DAMAGE
from homespun.corpus.records import lines_of, parse_lines, parse_values
from homespun.corpus.source_file import endings
from homespun.dialogues.dialogue import Conversation, NotUsable, Preference, Useless
from homespun.dialogues.settings import ColumnsConfig, DialogueConfig
from homespun.labelled.left_out import LeftOut
from homespun.labelled.read import Faults as RowFaults
from homespun.labelled.read import read_columns, texts_of

T = TypeVar("T", Conversation, Preference)
ONE_PER_LINE = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv")


@dataclass
class DialoguesLeftOut(LeftOut):
    """``alike``: with twice the same answer. ``in_validation``: with a question that is held back."""

    alike: int = 0
    in_validation: int = 0


class Faults(RowFaults):
    """Entries of one file that cannot be used: an error each, or counted in ``left_out``."""

    def __init__(self, path: Path, config: DialogueConfig, left_out: DialoguesLeftOut) -> None:
        super().__init__(path, config)
        self.left_out = left_out

    def add(self, line: int, why: str = "") -> None:
        """``DamagedFileError`` that says ``why``, unless such entries are skipped."""
        self.left_out.malformed += 1
        unread = "cannot be parsed" if endings(self.path.name)[0] in TABLES else "is not JSON"
        super().add(line, why or unread)


def read_dialogues(
    paths: Iterable[Path], config: DialogueConfig, make: Callable[[Any], T], left_out: DialoguesLeftOut
) -> Iterator[T]:
    """The entries of some files, as ``make`` makes them (``homespun.dialogues.forms``)."""
    for path in paths:
        faults, line = Faults(path, config, left_out), 0
        for line, value in entries_of(path, config, faults):
            try:
                yield make(value)
            except Useless as error:
                setattr(left_out, error.kind, getattr(left_out, error.kind) + 1)
            except NotUsable as error:
                faults.add(line + faults.ahead, str(error))
        if not line and not faults.count:
            raise DamagedFileError(f"{path} is empty; name a file with {config.section}")


def entries_of(path: Path, config: DialogueConfig, faults: Faults) -> Iterator[tuple[int, Any]]:
    """What stands in a file, with the numbers of lines: the pairs of a table, or JSON values of any form."""
    if isinstance(config, ColumnsConfig) and config.source_column:
        yield from read_pairs(path, config, faults)
    else:
        yield from read_values(path, faults)


def read_pairs(path: Path, config: ColumnsConfig, faults: Faults) -> Iterator[tuple[int, dict[str, Any]]]:
    """Source and target of each row by the names of their columns; a row with several targets gives several pairs."""
    for line, values in read_columns(path, config.columns, faults):
        for name in config.target_columns:
            targets = values[name] if isinstance(values[name], list) and values[name] else [values[name]]
            for target in targets:
                yield line, {config.source_column: values[config.source_column], name: target}


def read_values(path: Path, faults: Faults) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file, with the number of the line."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}; name a JSON or JSON-lines file")
    ending, compression = endings(path.name)
    try:
        texts = texts_of(path, compression)
        yield from parse_lines(lines_of(texts), faults) if ending in ONE_PER_LINE else parse_values(texts, faults)
    except UndecodableError as error:
        raise DamagedFileError(f"{path} is no file of text (its bytes are no text)") from error
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise explain_os_error(error, "cannot read") from error
        raise DamagedFileError(f"{path} is damaged ({' '.join(str(error).split())[:200]})") from error
