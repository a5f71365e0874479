"""The run folder: everything about one run, and who may write to it.

run.json           what was asked for, format version, state, time spent
config.toml        the full configuration     plan.json    what was planned and why
corpus/  tokenizer.json  tokens/  images/     the stages' results
labelled/  base/   of a finetuning: the texts with their labels, and the weights that it begins with
conversations/  preferences/  rows/           of one that answers: what it learns from, as text and as tokens
pairs/  rows/                                 the same of an encoder-decoder
model.json         what the model is made of  environment.json
metrics.jsonl  samples.jsonl  checkpoints/    training as it goes
result.json  report.html                      at the end
evaluations/                                  what was asked of the model afterwards
questions/  assistant/                        of a build that goes on: what it is to answer, and the run that learns to
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from homespun import __version__
from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import explain_os_error, read_json, remove_leftovers, write_atomic, write_json
from homespun.training.dial import Dial

FORMAT_VERSION = 1
ASSISTANT = "assistant"
LOCK = ".lock"
IMPORTED = "imported"  # the state of a run whose weights another program trained


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of one run."""

    path: Path

    @property
    def corpus(self) -> Path:
        return self.path / "corpus"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def tokens(self) -> Path:
        return self.path / "tokens"

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def labelled(self) -> Path:
        return self.path / "labelled"

    @property
    def conversations(self) -> Path:
        return self.path / "conversations"

    @property
    def pairs(self) -> Path:
        return self.path / "pairs"

    @property
    def preferences(self) -> Path:
        return self.path / "preferences"

    @property
    def replay(self) -> "RunFolder":
        """What a continued pretraining reads again has the same stages, in a folder within."""
        return RunFolder(self.path / "replay")

    @property
    def questions(self) -> Path:
        return self.path / "questions"

    @property
    def assistant(self) -> "RunFolder":
        """A run of its own, whose base this one is."""
        return RunFolder(self.path / ASSISTANT)

    @property
    def rows(self) -> Path:
        return self.path / "rows"

    @property
    def base(self) -> Path:
        return self.path / "base"

    def shards(self, reads: str) -> Path:
        """What the model learns from, by what it ``reads``."""
        return {
            "text": self.tokens,
            "texts of a field": self.tokens,
            "images": self.images,
            "labelled texts": self.labelled,
            "conversations": self.rows,
            "pairs": self.rows,
            "preferences": self.rows,
        }[reads]

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def finished(self) -> bool:
        return self.result.exists()

    def record(self) -> dict[str, Any]:
        """``run.json``, of a version that this program reads."""
        if not (self.path / "run.json").exists():
            raise UsageError(f"{self.path} is not a run folder (it has no run.json); give a folder that build made")
        record = read_json(self.path / "run.json")
        if not isinstance(record, dict) or record.get("format") != FORMAT_VERSION:
            found = record.get("format") if isinstance(record, dict) else None
            raise DamagedFileError(
                f"{self.path} was made by an incompatible version (run format {found!r}, this program reads "
                f"{FORMAT_VERSION}); build it again into another folder"
            )
        return record

    def dial(self) -> Dial | None:
        """What the plan was asked for; None for a run that is trained as configured."""
        asked = self.record()["asked_for"]
        return Dial(**asked) if asked else None

    def update(self, **changes: Any) -> None:
        """Change entries of ``run.json``."""
        write_json(self.path / "run.json", self.record() | changes)

    def append(self, file: Path, record: dict[str, Any]) -> None:
        """Add one line to a JSONL file."""
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop records of what is about to be done again: later steps, and at the end the last figures."""
        for file in (self.metrics, self.samples):
            if file.exists():
                lines = file.read_text("utf-8", "replace").splitlines()
                kept = [line for line in lines if is_before(line, step)]
                write_atomic(file, "".join(line + "\n" for line in kept))


def is_before(line: str, step: int) -> bool:
    """Whether a JSONL line tells of something before or at ``step``; half-written lines do not.

    A finished run's ``final`` validation and samples come after its last checkpoint, so they are made again.
    """
    try:
        record = json.loads(line)
        return record["step"] <= step and not record.get("final")
    except (ValueError, KeyError, TypeError):
        return False


def create_run(
    path: Path,
    sources: list[str],
    dial: Dial | None,
    command: list[str],
    asked: dict[str, Any],
    origins: dict[str, str],
    state: str = "corpus",
    goes_on: bool = False,
    name: str = "",
) -> RunFolder:
    """A new run folder; an existing one with anything in it is never written over.

    ``asked``: the configuration values that the user has set, ``origins``: where. ``state``: the first stage.
    ``goes_on``: its model is to become an assistant. ``name``: another than that of the folder. All of it is written at
    once, so a kill leaves a run that can go on or a folder that can be used again.
    """
    run = RunFolder(path)
    try:
        remove_leftovers(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(existing_folder_line(run))
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, "cannot make the run folder") from error
    write_json(
        path / "run.json",
        {
            "format": FORMAT_VERSION,
            "homespun_version": __version__,
            "name": name or path.resolve().name,
            "state": state,
            "sources": sources,
            "asked_for": asdict(dial) if dial else None,
            "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds_total": 0.0,
            "asked": asked,
            "origins": origins,
            **({"goes_on": True} if goes_on else {}),
        },
    )
    return run


def forget_if_nothing_is_made(run: RunFolder) -> None:
    """Remove the folder of a run whose sources were refused before any of its stages was done.

    Else the same command, with its sources corrected, would be told that there is a run already.
    """
    remove_leftovers(run.path)
    if {path.name for path in run.path.iterdir()} <= {"run.json", LOCK}:
        shutil.rmtree(run.path, ignore_errors=True)


def existing_folder_line(run: RunFolder) -> str:
    """Why ``--out`` is refused, and what to do."""
    if not (run.path / "run.json").exists():
        return f"{run.path} exists and is not empty; give another --out"
    if run.record().get("state") == IMPORTED:
        return f"{run.path} holds an imported model; give another --out"
    goes_on = (run.assistant.path / "run.json").exists() and not run.assistant.finished
    if run.finished and not goes_on:
        return f"{run.path} holds a finished run; give another --out, or see it with: homespun report {run.path}"
    return f"{run.path} holds an unfinished run; continue it with: homespun train --resume {run.path}"


@contextlib.contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Keep a second process out of the folder; the lock goes with this process, however it ends."""
    try:
        descriptor = os.open(run.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise explain_os_error(error, "cannot write to the run folder") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise HomespunError(f"another process is working in {run.path}; wait for it or stop it first") from error
    try:
        yield
    finally:
        os.close(descriptor)
