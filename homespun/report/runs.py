"""Folders -> the runs below them side by side: figures of each, and the settings in which they differ.

In: folders to look through; a folder with a ``run.json`` (or, half written, a ``metrics.jsonl``) is a run, at any
stage. Out: a ``Comparison``, the lowest bits per byte first. Nothing in a folder is an error: what cannot be compared
is left out and named.
"""

import math
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.common.configuration import leaves
from homespun.common.errors import UsageError
from homespun.report.facts import Facts, product, ratio, work_out
from homespun.report.lookup import number
from homespun.report.markup import showable
from homespun.report.overview import ASSISTANT
from homespun.report.read_run import RunData, read_mapping, read_metrics, read_text
from homespun.report.terminal import ONE_LINE
from homespun.report.wording import UNKNOWN, count, decimal, significant

OTHER_TEXT = "these runs were not validated on the same text, so their losses cannot be compared"
HEADS = ("run", "state", "parameters", "tokens", "minutes", "tokens/s",
         "nats per token", "lowest", "bits per byte", "lowest")  # fmt: skip


@dataclass(frozen=True)
class ComparedRun:
    """One run; ``label`` tells it from the others, ``configuration`` is flat: ``{"model.width": 256, …}``."""

    label: str
    data: RunData
    facts: Facts
    configuration: dict[str, Any]

    @property
    def best_bits_per_byte(self) -> float | None:
        """The lowest of all validations."""
        known = [bits for bits in self.data.validation["bits_per_byte"] if not math.isnan(bits)]
        return min(known) if known else product(self.facts.best_validation_loss, self.facts.bits_per_nat_token)


@dataclass(frozen=True)
class Comparison:
    """Runs, best first; the keys that have not the same value in all of them; and a line for each folder left out."""

    runs: list[ComparedRun]
    differing: list[str]
    left_out: list[str]

    @property
    def same_text(self) -> bool:
        """Whether all were validated on as many bytes: losses on different texts say nothing about the runs."""
        sizes = (number(run.data.tokens, "splits", "validation", "bytes") for run in self.runs)
        return len({size for size in sizes if size is not None}) <= 1

    def differences(self, run: ComparedRun) -> dict[str, Any]:
        """What is special about one run; ``None`` for a key that its version did not know."""
        return {key: run.configuration.get(key) for key in self.differing}


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Compare every run below ``folders``.

    Raises ``UsageError`` when a folder does not exist or there is no run below any of them.
    """
    found = find_runs(folders)
    if not found:
        raise UsageError(f"no run below {', '.join(map(str, folders))}; give folders that hold run folders")
    read = [read_for_comparison(folder) for folder in found]
    left_out = [f"{one.folder} is left out: {reason}" for one in read if (reason := why_left_out(one))]
    kept = [one for one in read if not why_left_out(one)]
    names = [one.name for one in kept]
    runs = [
        ComparedRun(
            one_line(one.name if names.count(one.name) == 1 else str(one.folder)),
            one,
            work_out(one),
            read_configuration(one),
        )
        for one in kept
    ]
    runs.sort(key=lambda run: math.inf if run.facts.bits_per_byte is None else run.facts.bits_per_byte)
    return Comparison(runs, differing_keys(runs), [one_line(line) for line in left_out])


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """The run folders at and below ``folders``, each once; inside a run only the assistant that it has become."""
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}; give folders that hold run folders")
        for place, inner, files in os.walk(folder):
            if "run.json" in files or "metrics.jsonl" in files:
                found.setdefault(Path(place).resolve(), Path(place))
                inner[:] = [name for name in inner if name == ASSISTANT]  # that is a run of its own
            inner[:] = sorted(name for name in inner if not name.startswith("."))
    return list(found.values())


def read_for_comparison(folder: Path) -> RunData:
    """Only what a comparison needs: no samples, no tokenizer, no text."""
    unreadable: list[str] = []
    training, validation = read_metrics(folder / "metrics.jsonl", unreadable)
    return RunData(
        folder=folder,
        run=read_mapping(folder / "run.json", unreadable),
        configuration=read_text(folder / "config.toml", unreadable),
        tokens=read_mapping(folder / "tokens" / "manifest.json", unreadable),
        images=read_mapping(folder / "images" / "manifest.json", unreadable),
        labelled=read_mapping(folder / "labelled" / "manifest.json", unreadable),
        rows=read_mapping(folder / "rows" / "manifest.json", unreadable),
        model=read_mapping(folder / "model.json", unreadable),
        result=read_mapping(folder / "result.json", unreadable),
        training=training,
        validation=validation,
        unreadable=unreadable,
    )


def why_left_out(run: RunData) -> str:
    """Why a run cannot be compared; empty when it can."""
    damage = f" ({', '.join(run.unreadable)})" if run.unreadable else ""
    if not run.run:
        return f"it has no whole run.json{damage}"
    if not len(run.training) and not len(run.validation):
        return f"it has not trained yet, its state is {run.state}{damage}"
    if not read_configuration(run):
        return f"it has no whole config.toml{damage}"
    return ""


def read_configuration(run: RunData) -> dict[str, Any]:
    """``config.toml`` in dotted keys; empty when it is damaged."""
    try:
        values = dict(leaves(tomllib.loads(run.configuration)))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    return {key: value for key, value in values.items() if "." in key}


def differing_keys(runs: Sequence[ComparedRun]) -> list[str]:
    """The keys that have not the same value in all runs, in the order of the configuration."""
    keys = dict.fromkeys(key for run in runs for key in run.configuration)
    return [key for key in keys if any(run.configuration.get(key) != runs[0].configuration.get(key) for run in runs)]


def cells(run: ComparedRun) -> tuple[str, ...]:
    """The words of one row under ``HEADS``."""
    facts = run.facts
    return (
        run.label,
        one_line(run.data.state),
        count(facts.parameters),
        count(facts.tokens_seen),
        significant(ratio(facts.seconds_training, 60.0)),
        count(facts.tokens_per_second),
        decimal(facts.validation_loss, 3),
        decimal(facts.best_validation_loss, 3),
        decimal(facts.bits_per_byte, 3),
        decimal(run.best_bits_per_byte, 3),
    )


def setting(value: Any) -> str:
    """A value of the configuration in words."""
    return UNKNOWN if value is None else one_line(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def record(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON can carry it; losses in nats per token."""
    return {
        "runs": [
            {
                "name": run.label,
                "folder": str(run.data.folder),
                "state": run.data.state,
                "finished": run.data.finished,
                "parameters": run.facts.parameters,
                "tokens": run.facts.tokens_seen,
                "seconds_training": run.facts.seconds_training,
                "tokens_per_second": run.facts.tokens_per_second,
                "validation_loss": run.facts.validation_loss,
                "best_validation_loss": run.facts.best_validation_loss,
                "bits_per_byte": run.facts.bits_per_byte,
                "best_bits_per_byte": run.best_bits_per_byte,
                "differences": comparison.differences(run),
            }
            for run in comparison.runs
        ],
        "same_validation_text": comparison.same_text,
        "left_out": comparison.left_out,
    }


def one_line(words: str) -> str:
    """Words from a file, harmless in a terminal."""
    return showable(words).translate(ONE_LINE)
