"""Contamination: is the test in the training text? Runs of words that both have (``homespun.evaluation.overlap``).

No model is asked. Without ``text`` all columns of a row that hold text are looked for.
"""

from dataclasses import dataclass

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, Texts
from homespun.evaluation.measure import LOWER, SHARE, mean_of, share_of
from homespun.evaluation.overlap import overlaps
from homespun.evaluation.rows import Row
from homespun.evaluation.task import Task
from homespun.evaluation.template import fill


@dataclass(frozen=True)
class Search:
    """Which texts are looked for, and where."""

    texts: list[str]
    places: list[str]
    words: int
    training: Texts


def prepare(material: Material) -> Search:
    """The test's texts and the run's."""
    rows = material.rows()
    texts = [text_of(material.task, row) for row in rows]
    return Search(texts, [row.where for row in rows], material.task.words, material.run_texts("train"))


def text_of(task: Task, row: Row) -> str:
    """What is looked for of a row."""
    if task.text:
        return fill(task.text, row)
    found = "\n".join(value for value in row.values.values() if isinstance(value, str))
    if not found:
        raise UsageError(f'{row.where}: there is no text in any column; name one with text = "{{column}}"')
    return found


def score(search: Search, subject: Subject | None, stage: Stage) -> Outcome:
    """How many examples have a run in common with the training text, and how much of them."""
    found = overlaps(search.texts, search.training(), search.words, stage.advance)
    judged = [one for one in found if one.runs]
    if not judged:
        raise UsageError(f"no example is as long as {search.words} words; lower task.words")
    measures = [
        share_of("examples found in part", [one.found > 0 for one in judged], LOWER),
        share_of("examples found whole", [one.found == one.runs for one in judged], LOWER),
        mean_of(f"runs of {search.words} words found", [one.share for one in judged], SHARE, LOWER),
    ]
    examples = [
        {"where": place, "runs": one.runs, "found": one.found, "first": one.example}
        for place, one in zip(search.places, found, strict=True)
    ]
    short = len(found) - len(judged)
    notes = [f"{short:,} examples are shorter than {search.words} words and were left out"] if short else []
    return Outcome(measures, examples, notes)


KIND = Kind(prepare, score, needs=("data",), takes=("text", "words"), models=())
