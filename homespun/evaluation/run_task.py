"""A task and one or two models in, the whole record of an evaluation out: figures, tests, examples, notes.

The record is what is written to disk and shown; it holds nothing but what JSON can carry.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from homespun.common.errors import UsageError
from homespun.common.progress import Reporter
from homespun.evaluation.kind import Kind, Material, Outcome, Subject
from homespun.evaluation.kinds import KINDS
from homespun.evaluation.measure import figure_of
from homespun.evaluation.paired import compare
from homespun.evaluation.task import Task

FORMAT_VERSION = 1
OTHER_TOKENS = "the two models have different tokens: compare them by bits per byte, not by what is told per token"


def kind_of(task: Task) -> Kind:
    """The kind of a task; ``UsageError`` for a kind that does not exist and for keys that it has no use for."""
    if task.kind not in KINDS:
        raise UsageError(f"{task.name}: task.kind is {task.kind!r}; choose one of {', '.join(KINDS)}")
    kind = KINDS[task.kind]
    task.check_keys(kind.needs, kind.takes)
    return kind


def run_task(material: Material, subject: Subject | None, other: Subject | None, reporter: Reporter) -> dict[str, Any]:
    """Ask ``subject``, and ``other`` the same questions; ``subject`` is None for a kind that asks no model."""
    kind = kind_of(material.task)
    if material.shots and not kind.shows_examples:
        raise UsageError(f"--shots means nothing for a task of kind {material.task.kind}")
    questions = kind.prepare(material)
    outcome = ask(kind, questions, subject, reporter)
    record: dict[str, Any] = {
        "figures": [asdict(figure_of(measure, material.seed)) for measure in outcome.measures],
        "notes": outcome.notes,
        "shown": outcome.shown,
        "matrix": outcome.matrix,
        "examples": outcome.examples,
        "against": None,
    }
    if subject is not None and other is not None:
        record["against"] = against(outcome, ask(kind, questions, other, reporter), other.name, material.seed)
        if subject.tokenizer.identity() != other.tokenizer.identity():
            record["notes"] = [*outcome.notes, OTHER_TOKENS]
    for note in record["notes"]:
        reporter.say(note)
    return carried(record)


def ask(kind: Kind, questions: Any, subject: Subject | None, reporter: Reporter) -> Outcome:
    """Put the questions to one model, with a bar. Its scorer is a new one: it counts what it has cut."""
    score: Callable[..., Outcome] = kind.score
    subject = subject and replace(subject)
    with reporter.stage(f"asking {subject.name}" if subject else "reading", 0, "steps") as stage:
        return score(questions, subject, stage)


def against(own: Outcome, theirs: Outcome, name: str, seed: int) -> dict[str, Any]:
    """The comparison, measure by measure; those that were not made of the same examples cannot be paired."""
    pairs = [
        (mine, other)
        for mine, other in zip(own.measures, theirs.measures, strict=True)
        if len(mine.rows) == len(other.rows)
    ]
    return {"name": name, "differences": [asdict(compare(mine, other, seed)) for mine, other in pairs]}


def carried(value: Any) -> Any:
    """The same with numbers that JSON has no form for as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: carried(item) for key, item in value.items()}
    return [carried(item) for item in value] if isinstance(value, list | tuple) else value
