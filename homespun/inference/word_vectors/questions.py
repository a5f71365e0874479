"""Files of questions about words -> questions.

In: an analogy file (``questions-words.txt``: four words a line, a line with a colon begins a section) or a file of
judged pairs (WordSim353, SimLex999: two words and a number a line, divided by tabs). Lines that begin with ``#`` are
nothing. Both may be compressed. Out: ``Analogies`` by section, or ``Judgement`` entries.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from homespun.common.errors import DamagedFileError
from homespun.common.files import explain_os_error
from homespun.corpus.opening import DAMAGE, open_bytes
from homespun.corpus.source_file import endings


@dataclass(frozen=True)
class Analogies:
    """A section of questions: the fourth word is to the third as the second is to the first."""

    section: str
    questions: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class Judgement:
    """How alike people found two words."""

    first: str
    second: str
    score: float


def read_analogies(path: Path) -> list[Analogies]:
    """Read a file of analogies; a bad line is a ``DamagedFileError`` with its number."""
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    section = path.name
    for number, line in numbered_lines(path):
        if line.startswith(":"):
            section = line.removeprefix(":").strip() or path.name
            continue
        words = line.split()
        if len(words) != 4:
            raise DamagedFileError(f"{path}, line {number}: not four words")
        first, second, third, fourth = words
        sections.setdefault(section, []).append((first, second, third, fourth))
    if not sections:
        raise DamagedFileError(f"{path} holds no analogies; give a file with four words a line")
    return [Analogies(name, tuple(questions)) for name, questions in sections.items()]


def read_judgements(path: Path) -> list[Judgement]:
    """Read a file of judged pairs; a bad line is a ``DamagedFileError`` with its number."""
    judgements = []
    for number, line in numbered_lines(path):
        fields = line.split("\t") if "\t" in line else line.split()
        try:
            first, second, score = fields
            judgements.append(Judgement(first.strip(), second.strip(), float(score)))
        except ValueError:
            raise DamagedFileError(f"{path}, line {number}: not two words and a number") from None
    if not judgements:
        raise DamagedFileError(f"{path} holds no judged pairs; give a file with two words and a number a line")
    return judgements


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    try:
        with open_bytes(path, endings(path.name)[1]) as stream:
            text = stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise explain_os_error(error, "cannot read") from error
        raise DamagedFileError(f"{path} is damaged ({error})") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()
