"""What is asked of a model, as a small TOML file: its kind, its data, its prompt.

    [task]
    kind = "choice"
    data = "questions.jsonl"
    prompt = "Question: {question}\\nAnswer:"
    choices = ["{a}", "{b}"]
    answer = "{right}"

In: the name of a task that homespun brings along, or of such a file. Out: a ``Task``, of which every key is one that
its kind knows what to do with. Imports no torch.
"""

import difflib
import tomllib
from collections.abc import Collection
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from homespun.common.configuration import read_toml
from homespun.common.errors import UsageError
from homespun.corpus.source_file import TEXT, describe

BROUGHT_ALONG = Path(__file__).parent / "tasks"
SECTION = "task."


@dataclass(frozen=True)
class Task:
    """``given``: the keys that the file sets. ``folder``: where it lies; ``data`` is named from there."""

    kind: str = field(default="", metadata={"help": "what is asked and how it is counted"})
    about: str = field(default="", metadata={"help": "one sentence for people"})
    data: str = field(default="", metadata={"help": "a file of examples (JSONL, JSON, CSV, TSV, Parquet) or of text"})
    prompt: str = field(default="", metadata={"help": "what the model is shown, with {column} for what differs"})
    answer: str = field(
        default="", metadata={"help": "what is right; for choices: a text, a number from 0 or a letter"}
    )
    choices: str | tuple[str, ...] = field(
        default=(), metadata={"help": "a column with a list, or a list of templates"}
    )
    by: str = field(default="text", metadata={"help": "choices are told by their text, or by their letter"})
    labels: tuple[str, ...] = field(default=(), metadata={"help": "the classes, as the model is to say them"})
    good: str = field(default="", metadata={"help": "the text that should be likelier"})
    bad: str = field(default="", metadata={"help": "the one that should not"})
    text: str = field(default="", metadata={"help": "the text that is looked for"})
    references: tuple[str, ...] = field(
        default=(), metadata={"help": "several right texts, in place of answer; those whose columns the file has"}
    )
    instruction: str = field(
        default="", metadata={"help": "what is asked of the prompt; a model that answers hears it as its user's words"}
    )
    source: str = field(
        default="", metadata={"help": "the text that the prompt is about: its beginning is measured for comparison"}
    )
    delimiter: str = field(default=" ", metadata={"help": "between prompt and answer"})
    separator: str = field(default="\n\n", metadata={"help": "between the examples of a prompt"})
    shots_from: str = field(default="", metadata={"help": "a file that the examples shown are taken from"})
    stop: tuple[str, ...] = field(default=("\n",), metadata={"help": "an answer ends before any of these"})
    maximum_tokens: int = field(default=64, metadata={"help": "an answer ends after so many tokens"})
    temperature: float = field(default=0.0, metadata={"help": "0: always the likeliest token"})
    samples: int = field(default=100, metadata={"help": "how many places of the text are tried"})
    prompt_characters: int = field(default=200, metadata={"help": "how much of the text is shown"})
    answer_characters: int = field(default=100, metadata={"help": "how much is to be said"})
    candidates: int = field(default=999, metadata={"help": "how many other secrets each one is ranked among"})
    words: int = field(default=8, metadata={"help": "length of the runs that are compared"})
    given: frozenset[str] = frozenset()
    folder: Path = Path()
    name: str = ""

    def __post_init__(self) -> None:
        for key in ("maximum_tokens", "samples", "prompt_characters", "answer_characters", "candidates", "words"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{self.name}: task.{key} is {value!r}; give a whole number of at least 1")
        if self.by not in ("text", "letter"):
            raise UsageError(f"{self.name}: task.by is {self.by!r}; choose text or letter")
        for key in KEYS:
            value, usual = getattr(self, key), default_of(key)
            if isinstance(usual, str) and key != "choices" and not isinstance(value, str):
                raise UsageError(f"{self.name}: task.{key} is {value!r}; give a text in quotes")
            if isinstance(usual, tuple) and not is_texts(value) and not (key == "choices" and isinstance(value, str)):
                raise UsageError(f"{self.name}: task.{key} is {value!r}; give a list of texts in quotes")
        is_number = isinstance(self.temperature, int | float) and not isinstance(self.temperature, bool)
        if not is_number or not 0 <= self.temperature < float("inf"):
            raise UsageError(f"{self.name}: task.temperature is {self.temperature!r}; give a number of at least 0")

    @property
    def data_path(self) -> Path | None:
        """The file of examples."""
        return self.folder / Path(self.data).expanduser() if self.data else None

    @property
    def shots_path(self) -> Path | None:
        """The file that shown examples are taken from; None: from the examples themselves."""
        return self.folder / Path(self.shots_from).expanduser() if self.shots_from else None

    def with_data(self, path: Path) -> "Task":
        """The same question about other data."""
        return replace(self, data=str(path.absolute()), given=self.given | {"data"})

    def check_keys(self, needs: Collection[str], takes: Collection[str]) -> None:
        """``UsageError`` for a key that the kind needs and lacks, or that it has no use for."""
        for key in needs:
            if key not in self.given:
                hint = "; name a file with --data FILE" if key == "data" else ""
                raise UsageError(f"{self.name}: a task of kind {self.kind} needs task.{key}{hint}")
        known = {"kind", "about", *needs, *takes}
        for key in sorted(self.given - known):
            raise UsageError(
                f"{self.name}: task.{key} means nothing for a task of kind {self.kind}; it has "
                f"{', '.join(sorted(known))}"
            )


KEYS = tuple(item.name for item in fields(Task) if "help" in item.metadata)


def default_of(key: str) -> Any:
    """What a key is when nobody sets it."""
    found = next(item for item in fields(Task) if item.name == key)
    return None if found.default is MISSING else found.default


def is_texts(value: object) -> bool:
    """A tuple of texts."""
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def names_brought_along() -> list[str]:
    """The tasks that need no file of their own, in order of their names."""
    return sorted(path.stem for path in BROUGHT_ALONG.glob("*.toml"))


def load_task(name: str) -> Task:
    """A task by its name or file. A file of plain text is the task of predicting it."""
    path = Path(name).expanduser()
    if path.suffix.lower() == ".toml":
        return read_task(path, path.stem)
    if (own := BROUGHT_ALONG / f"{name}.toml").is_file() and Path(name).name == name:
        return read_task(own, name)
    if path.exists():
        if path.is_dir() or describe(path, path.name, named=True).kind == TEXT:
            return Task(kind="text", name=path.stem, about=f"How well is {path.name} predicted?").with_data(path)
        raise UsageError(
            f"{name} holds examples but does not say what to ask; write a task file (.toml) with data = "
            f'"{path.name}", or give --task NAME --data {name}'
        )
    known = names_brought_along()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}, or the path of a task file"
    raise UsageError(f"unknown task {name}; {hint}")


def read_task(path: Path, name: str) -> Task:
    """A task file."""
    flat = read_toml(path, [SECTION + key for key in KEYS], see="the page on evaluation")
    values = {key.removeprefix(SECTION): value for key, value in flat.items()}
    return Task(**values, given=frozenset(values), folder=path.parent, name=name)


def about(name: str) -> str:
    """What a task that homespun brings along is about."""
    return tomllib.loads((BROUGHT_ALONG / f"{name}.toml").read_text("utf-8"))["task"]["about"]
