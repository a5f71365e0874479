"""A file of conversations or preferences -> them, one by one; nothing is passed over in silence.

In: a JSON file (a list of objects) or JSON lines, compressed or not. Out: what ``make`` makes of each object.
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
from homespun.corpus.records import Malformed, lines_of, parse_lines, parse_values
from homespun.corpus.source_file import endings
from homespun.dialogues.dialogue import Conversation, NotUsable, Preference, Useless
from homespun.dialogues.settings import DialogueConfig
from homespun.labelled.read import texts_of

T = TypeVar("T", Conversation, Preference)
ONE_PER_LINE = (".jsonl", ".ndjson")


@dataclass
class LeftOut:
    """How many entries are not used, and why."""

    malformed: int = 0
    empty: int = 0
    alike: int = 0
    duplicates: int = 0
    in_validation: int = 0


class Faults(Malformed):
    """Entries of one file that cannot be used: an error each, or counted in ``left_out``."""

    def __init__(self, path: Path, config: DialogueConfig, left_out: LeftOut) -> None:
        super().__init__()
        self.path, self.config, self.left_out = path, config, left_out

    def add(self, line: int, why: str = "is not JSON") -> None:
        """``DamagedFileError`` that says ``why``, unless such entries are skipped."""
        super().add(line)
        self.left_out.malformed += 1
        if self.config.malformed == "stop":
            raise DamagedFileError(
                f"{self.path}, line {line:,} {why}; correct it, or skip such entries: "
                f"--{self.config.section}.malformed skip"
            )


def read_dialogues(
    paths: Iterable[Path], config: DialogueConfig, make: Callable[[Any], T], left_out: LeftOut
) -> Iterator[T]:
    """The entries of some files, as ``make`` makes them (``homespun.dialogues.forms``)."""
    for path in paths:
        faults, line = Faults(path, config, left_out), 0
        for line, value in read_values(path, faults):
            try:
                yield make(value)
            except Useless as error:
                setattr(left_out, error.kind, getattr(left_out, error.kind) + 1)
            except NotUsable as error:
                faults.add(line, str(error))
        if not line and not faults.count:
            raise DamagedFileError(f"{path} is empty; name a file with {config.section}")


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
