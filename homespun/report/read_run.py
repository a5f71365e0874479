"""A run folder -> one ``RunData``: everything a report can show, with absence and damage as ordinary answers.

In: the folder of a run at any stage (see DESIGN: Contracts, Run). Out: a frozen dataclass. Files that are not
there yet are empty mappings; files that are there but cannot be read are named in ``unreadable``; lines of JSONL
that are cut off (the run may be writing this very moment) are counted and skipped.

A resumed run goes back to its last checkpoint and writes the steps after it a second time. The later line is the
true one, so a step that is not larger than the one before it takes back what it replaces.
"""

import bisect
import json
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.common.errors import HomespunError, UsageError
from homespun.report.lookup import find, number, text

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer

TRAINING_COLUMNS = ("step", "loss", "learning_rate", "gradient_norm", "tokens", "seconds", "tokens_per_second")
VALIDATION_COLUMNS = ("step", "loss", "bits_per_byte", "tokens", "seconds", "unigram_loss", "accuracy",
                      "unigram_accuracy", "next_sentence_accuracy")  # fmt: skip
KNOWN_FILES = ("run.json", "config.toml", "plan.json", "environment.json", "corpus", "tokenizer.json",
               "tokens", "images", "labelled", "conversations", "pairs", "preferences", "rows", "model.json",
               "metrics.jsonl", "samples.jsonl", "result.json")  # fmt: skip
FOLDERS = {"corpus", "tokens", "images", "labelled", "conversations", "pairs", "preferences", "rows",
           "evaluations"}  # fmt: skip
LONGEST_LINE = 1 << 20  # characters; a longer line is no record of ours
LONGEST_CONFIGURATION = 1 << 18
LONGEST_JSON = 64 << 20
LONGEST_SAMPLE = 2_000  # characters of one sample that a report shows
MOST_SAMPLES = 2_000


@dataclass
class Series:
    """Columns of numbers over training steps; 8 bytes a number, NaN where a line lacked the key."""

    columns: "dict[str, array[float]]"

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> "Series":
        return cls({name: array("d") for name in names})

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __getitem__(self, name: str) -> "array[float]":
        return self.columns[name]

    def append(self, record: dict[str, Any]) -> None:
        """Add one line; a line without a step is passed over, a step told again replaces what followed it."""
        step = number(record, "step")
        if step is None:
            return
        steps = self.columns["step"]
        if steps and step <= steps[-1]:
            keep = bisect.bisect_left(steps, step)
            for column in self.columns.values():
                del column[keep:]
        for name, column in self.columns.items():
            value = number(record, name)
            column.append(math.nan if value is None else value)

    def last(self, name: str) -> float | None:
        """The newest finite value of a column."""
        return next((value for value in reversed(self.columns[name]) if not math.isnan(value)), None)


@dataclass(frozen=True)
class Sample:
    """What the model wrote at one moment of its training."""

    step: float | None
    tokens: float | None
    prompt: str
    text: str
    temperature: float | None


@dataclass(frozen=True)
class RunData:
    """Everything known about one run; each part may be empty."""

    folder: Path
    run: dict[str, Any] = field(default_factory=dict)
    configuration: str = ""
    plan: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)
    images: dict[str, Any] = field(default_factory=dict)
    labelled: dict[str, Any] = field(default_factory=dict)
    dialogues: dict[str, Any] = field(default_factory=dict)  # conversations, pairs, or preferences
    rows: dict[str, Any] = field(default_factory=dict)  # the same as tokens
    model: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    assistant: dict[str, Any] = field(default_factory=dict)  # the result of the run within that learned to answer
    training: Series = field(default_factory=lambda: Series.empty(TRAINING_COLUMNS))
    validation: Series = field(default_factory=lambda: Series.empty(VALIDATION_COLUMNS))
    samples: list[Sample] = field(default_factory=list)
    validation_text: str = ""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    tokenizer: "Tokenizer | None" = None
    unreadable: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return text(self.run, "name") or self.folder.resolve().name or "run"

    @property
    def state(self) -> str:
        return text(self.run, "state") or "unknown"

    @property
    def of_images(self) -> bool:
        """Whether it learns from images; one that was imported has none of its own."""
        return bool(self.images) or text(self.model, "task") == "images"

    @property
    def finished(self) -> bool:
        """Whether the run is over: its state says so, or its result is there and its state is lost."""
        return self.state == "finished" or (bool(self.result) and not self.run)


def read_run(folder: Path) -> RunData:
    """Read a run folder at any stage of the run.

    Raises ``UsageError`` when ``folder`` does not exist or holds nothing of a run.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no run folder {folder}; give the folder that homespun build wrote (its --out)")
    if not any((folder / name).exists() for name in KNOWN_FILES):
        raise UsageError(f"{folder} holds no run (no run.json in it); give the folder that homespun build wrote")
    unreadable: list[str] = []
    training, validation = read_metrics(folder / "metrics.jsonl", unreadable)
    return RunData(
        folder=folder,
        run=read_mapping(folder / "run.json", unreadable),
        configuration=read_text(folder / "config.toml", unreadable),
        plan=read_mapping(folder / "plan.json", unreadable),
        environment=read_mapping(folder / "environment.json", unreadable),
        corpus=read_mapping(folder / "corpus" / "manifest.json", unreadable),
        tokens=read_mapping(folder / "tokens" / "manifest.json", unreadable),
        images=read_mapping(folder / "images" / "manifest.json", unreadable),
        labelled=read_mapping(folder / "labelled" / "manifest.json", unreadable),
        dialogues=read_mapping(folder / "conversations" / "manifest.json", unreadable)
        or read_mapping(folder / "pairs" / "manifest.json", unreadable)
        or read_mapping(folder / "preferences" / "manifest.json", unreadable),
        rows=read_mapping(folder / "rows" / "manifest.json", unreadable),
        model=read_mapping(folder / "model.json", unreadable),
        result=read_mapping(folder / "result.json", unreadable),
        training=training,
        validation=validation,
        assistant=read_mapping(folder / "assistant" / "result.json", unreadable),
        samples=read_samples(folder / "samples.jsonl", unreadable),
        validation_text=read_validation_text(folder / "corpus"),
        evaluations=[
            record for path in sorted(folder.glob("evaluations/*.json")) if (record := read_mapping(path, unreadable))
        ],
        tokenizer=read_tokenizer(folder / "tokenizer.json", unreadable),
        unreadable=unreadable,
    )


def read_mapping(path: Path, unreadable: list[str]) -> dict[str, Any]:
    """A JSON object; an empty one when the file is absent (no remark) or damaged (named in ``unreadable``)."""
    try:
        if not path.exists():
            return {}
        if path.stat().st_size > LONGEST_JSON:
            unreadable.append(f"{where(path)} (too large for a report)")
            return {}
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        unreadable.append(f"{where(path)} (damaged)")
        return {}
    if isinstance(found, dict):
        return found
    unreadable.append(f"{where(path)} (not an object)")
    return {}


def read_text(path: Path, unreadable: list[str]) -> str:
    """The beginning of a text file; empty when absent."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST_CONFIGURATION)
    except FileNotFoundError:
        return ""
    except OSError:
        unreadable.append(f"{where(path)} (damaged)")
        return ""


def read_lines(path: Path, unreadable: list[str]) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, one at a time; damaged lines are counted and passed over.

    A last line without its line break is being written right now: it is read if it is whole, and no fault if not.
    """
    damaged = 0
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            while line := file.readline(LONGEST_LINE):
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                if isinstance(record, dict):
                    yield record
                elif line.strip() and line.endswith("\n"):
                    damaged += 1
    except FileNotFoundError:
        return
    except OSError:
        unreadable.append(f"{where(path)} (damaged)")
    if damaged:
        unreadable.append(f"{where(path)} ({damaged} damaged line{'s' if damaged > 1 else ''} left out)")


def read_metrics(path: Path, unreadable: list[str]) -> tuple[Series, Series]:
    """The training and the validation series of ``metrics.jsonl``."""
    training, validation = Series.empty(TRAINING_COLUMNS), Series.empty(VALIDATION_COLUMNS)
    for record in read_lines(path, unreadable):
        kind = find(record, "kind")
        if kind == "train":
            training.append(record)
        elif kind == "validation":
            validation.append(record)
    return training, validation


def read_samples(path: Path, unreadable: list[str]) -> list[Sample]:
    """Samples in the order of their steps; after a resume the second telling replaces the first."""
    samples: list[Sample] = []
    for record in read_lines(path, unreadable):
        written = find(record, "text")
        if not isinstance(written, str):
            continue
        step = number(record, "step")
        while step is not None and samples and samples[-1].step is not None and samples[-1].step > step:
            samples.pop()
        samples.append(
            Sample(
                step=step,
                tokens=number(record, "tokens"),
                prompt=(text(record, "prompt") or "")[:LONGEST_SAMPLE],
                text=written[:LONGEST_SAMPLE],
                temperature=number(record, "temperature"),
            )
        )
        if len(samples) > MOST_SAMPLES:  # every second one of the middle, so that the first and the last stay
            samples = [samples[0], *samples[1:-1:2], samples[-1]]
    return samples


def read_validation_text(corpus: Path) -> str:
    """The beginning of the first validation document; empty where there is none that can be read."""
    shards = sorted(corpus.glob("validation-*.parquet"))
    if not shards:
        return ""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(shards[0]) as file:
            for batch in file.iter_batches(batch_size=1, columns=["text"]):
                for value in batch.column(0):
                    if isinstance(words := value.as_py(), str) and words.strip():
                        return words[:LONGEST_SAMPLE]
    except (OSError, ValueError, KeyError, IndexError, pyarrow.ArrowException):
        return ""  # the chapter on tokens takes a sample instead
    return ""


def read_tokenizer(path: Path, unreadable: list[str]) -> "Tokenizer | None":
    """The run's tokenizer, or ``None`` when it is not there yet or cannot be read."""
    if not path.exists():
        return None
    try:
        from homespun.tokenizer.tokenizer import Tokenizer

        return Tokenizer.load(path)
    except (HomespunError, OSError, ValueError, KeyError, TypeError, ImportError, RecursionError):
        unreadable.append(f"{where(path)} (damaged)")
        return None


def where(path: Path) -> str:
    """The path as people know it inside a run folder."""
    return f"{path.parent.name}/{path.name}" if path.parent.name in FOLDERS else path.name
