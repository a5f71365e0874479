"""Generation: what the model writes after a prompt, held against references.

Exact match (white space at the ends and its kind do not count), BLEU, chrF and ROUGE. How the prompt is put, the model
decides (``homespun.evaluation.asking``). Where the task names a source, the ROUGE of its beginning is told besides:
news says the most important things first, so there this is hard to beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.asking import way_of
from homespun.evaluation.bleu import bleu, bleu_row
from homespun.evaluation.chrf import chrf, chrf_row
from homespun.evaluation.kind import Kind, Material, Outcome, Subject
from homespun.evaluation.measure import SHARE, Figure, Measure, figure_of, mean_of, share_of
from homespun.evaluation.questions import raw_answer
from homespun.evaluation.rouge import NAMES, rouge
from homespun.evaluation.rows import Row
from homespun.evaluation.shots import draw_shots
from homespun.evaluation.task import Task
from homespun.evaluation.template import fill, places
from homespun.inference.uses import CONTINUE, TRANSLATE

SHOWN_OF_ANSWER = 400


@dataclass(frozen=True)
class Exercise:
    """A prompt and what would be right. ``source``: the text that the prompt is about, if the task says which."""

    prompt: str
    references: tuple[str, ...]
    where: str
    source: str = ""


Asked = tuple[Task, int, list[Exercise]]


def prepare(material: Material) -> Asked:
    """The exercises, and the seed of their sampling."""
    task = material.task
    if bool(task.answer) == bool(task.references):
        raise UsageError(f"{task.name}: a task of kind generation needs task.answer, or task.references, not both")

    def solve(row: Row) -> tuple[str, str]:
        prompt = fill(task.prompt, row)
        return prompt, prompt + task.delimiter + references_of(task, row)[0]

    rows = material.shown_rows() if material.shots else []
    shots = draw_shots(rows, solve, material.shots, task.separator, material.seed)
    exercises = [
        Exercise(shots.before(fill(task.prompt, row)), references_of(task, row), row.where, fill(task.source, row))
        for row in material.rows()
    ]
    return task, material.seed, exercises


def references_of(task: Task, row: Row) -> tuple[str, ...]:
    """The right texts: a text, or a list of them in one column; of several templates those whose columns are there."""
    there = [template for template in task.references if places(template) <= row.values.keys()]
    templates = [task.answer] if task.answer else there or task.references[:1]  # which then says what is missing
    answers = [raw_answer(template, row) for template in templates]
    texts = tuple(text for answer in answers for text in (answer if isinstance(answer, list) else (str(answer),)))
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UsageError(f"{row.where}: the answer is empty or no text")
    return texts


def score(asked: Asked, subject: Subject, stage: Stage) -> Outcome:
    """All texts written, then measured."""
    task, seed, exercises = asked
    stage.resize(len(exercises))
    way = way_of(subject, task, seed)
    prompts = [one.prompt for one in exercises]
    written = way.write(prompts, stage.advance)
    examples = [
        {"where": one.where, "right": one.references[0][:SHOWN_OF_ANSWER], "told": text[:SHOWN_OF_ANSWER]}
        for one, text in zip(exercises, written, strict=True)
    ]
    notes = way.cut(prompts) + compared(exercises, seed)
    shown = way.shown(prompts[0], exercises[0].references[0])
    return Outcome(measures_of(written, [one.references for one in exercises]), examples, notes, shown)


def measures_of(texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[Measure]:
    """Of texts and the references of each."""
    pairs = list(zip(texts, references, strict=True))
    exact = [" ".join(text.split()) in {" ".join(one.split()) for one in others} for text, others in pairs]
    return [
        share_of("exact match", exact),
        Measure("BLEU", np.array([bleu_row(text, others) for text, others in pairs], dtype=float), bleu, "of 100"),
        Measure("chrF", np.array([chrf_row(text, others) for text, others in pairs], dtype=float), chrf, "of 100"),
        *rouges(texts, references),
    ]


def rouges(texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[Measure]:
    """ROUGE-1, ROUGE-2 and ROUGE-L."""
    shares = np.array([rouge(text, others) for text, others in zip(texts, references, strict=True)])
    return [mean_of(name, shares[:, place], SHARE) for place, name in enumerate(NAMES)]


def compared(exercises: Sequence[Exercise], seed: int) -> list[str]:
    """ROUGE of the beginnings of the sources, as many words as references have in the mean: a line for people."""
    if not exercises[0].source:
        return []
    references = [one.references for one in exercises]
    lengths = [len(text.split()) for texts in references for text in texts]
    count = max(1, round(sum(lengths) / len(lengths)))
    leads = [" ".join(one.source.split()[:count]) for one in exercises]
    told = ", ".join(in_words(figure_of(measure, seed)) for measure in rouges(leads, references))
    return [f"who only repeats the first {count:,} words has {told}"]


def in_words(figure: Figure) -> str:
    """``ROUGE-1 21.3 % (20.1 to 22.4)``."""
    bounds = "" if figure.low is None or figure.high is None else f" ({figure.low:.1%} to {figure.high:.1%})"
    return f"{figure.name} {figure.value:.1%}{bounds}"


KIND = Kind(
    prepare,
    score,
    needs=("data", "prompt"),
    takes=(
        "answer", "references", "instruction", "source", "delimiter", "separator", "shots_from", "stop",
        "maximum_tokens", "temperature",
    ),
    models=(CONTINUE, TRANSLATE),
    shows_examples=True,
)  # fmt: skip
