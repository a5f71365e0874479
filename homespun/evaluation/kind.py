"""What a kind of task is: one file in ``kinds/`` and one line in its table.

A kind has two halves. ``prepare`` makes the questions, knowing nothing of a model, so that two models that are compared
are asked the same. ``score`` puts them to one model and returns measures, an entry per example, and what people should
know besides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.corpus.read import FileReport, read_documents
from homespun.corpus.sources import list_files
from homespun.evaluation.likelihood import Scorer
from homespun.evaluation.measure import Measure
from homespun.evaluation.rows import Row, read_rows
from homespun.evaluation.task import Task
from homespun.inference.uses import CONTINUE, Use
from homespun.tokenizer.tokenizer import Tokenizer

Texts = Callable[[], Iterator[str]]  # an iterator over texts, from their beginning at each call


@dataclass(frozen=True)
class Material:
    """What questions are made of: the task, how many examples are shown and asked, and the texts of the run.

    ``run_texts(split)``: the documents of "train" or "validation"; ``UsageError`` where the run has none.
    """

    task: Task
    run_texts: Callable[[str], Texts]
    shots: int = 0
    limit: int = 0
    seed: int = 1

    @cached_property
    def all_rows(self) -> list[Row]:
        """Every example of the file."""
        assert self.task.data_path is not None
        return read_rows(self.task.data_path)

    def rows(self) -> list[Row]:
        """The examples that are asked: all, or ``limit`` of them, drawn by the seed, in their order."""
        count = len(self.all_rows)
        if not 0 < self.limit < count:
            return self.all_rows
        chosen = np.random.default_rng(self.seed).choice(count, self.limit, replace=False)
        return [self.all_rows[place] for place in sorted(chosen)]

    def shown_rows(self) -> list[Row]:
        """The examples that may be shown."""
        return read_rows(self.task.shots_path) if self.task.shots_path else self.all_rows

    def texts(self) -> Texts:
        """The running text of the task: its data, or the validation text of the run."""
        path = self.task.data_path
        return self.run_texts("validation") if path is None else lambda: texts_of_files(str(path))


def texts_of_files(source: str) -> Iterator[str]:
    """The documents of a file or folder; ``UsageError`` for a file that cannot be read."""
    empty = True
    for file in list_files([source]).files:
        report = FileReport()
        for document in read_documents(file, report):
            empty = empty and not document.text
            yield document.text
        if report.problem:
            raise UsageError(f"{file.path} cannot be read as text: {report.reason or report.problem}")
    if empty:
        raise UsageError(f"{source} has no text in it")


@dataclass(frozen=True)
class Subject:
    """A model that is asked, with its tokenizer; ``name`` for people."""

    name: str
    model: Any
    tokenizer: Tokenizer

    @cached_property
    def scorer(self) -> Scorer:
        """For likelihoods."""
        return Scorer(self.model, self.tokenizer)


@dataclass(frozen=True)
class Outcome:
    """``examples``: an entry for each; ``shown``: what the first prompt looked like; ``matrix``: a confusion matrix."""

    measures: list[Measure]
    examples: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shown: str = ""
    matrix: dict[str, Any] | None = None


@dataclass(frozen=True)
class Kind:
    """``needs`` and ``takes``: keys of a task; ``models``: what a model must be for; none: no model is asked."""

    prepare: Callable[[Material], Any]
    score: Callable[[Any, Subject, Stage], Outcome]
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    models: tuple[Use, ...] = (CONTINUE,)
    shows_examples: bool = False


def cut_note(scorer: Scorer, of: int) -> list[str]:
    """A line for people where prompts were longer than the window."""
    if not scorer.cut:
        return []
    return [
        f"{scorer.cut:,} of {of:,} prompts are longer than the {scorer.window:,} tokens that the model sees at once: "
        "their beginnings were cut off"
    ]
