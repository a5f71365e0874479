"""Cloze: is the missing end of a text what the model would have written, and how likely is it?

With ``answer`` the end is that; without it, it is the last word of the prompt (LAMBADA, Paperno et al. 2016).
"""

import math
from dataclasses import dataclass

import numpy as np

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, cut_note
from homespun.evaluation.kinds.text import LARGEST_EXPONENT
from homespun.evaluation.measure import LOWER, Measure, divide, quotient, share_of
from homespun.evaluation.rows import Row
from homespun.evaluation.shots import draw_shots
from homespun.evaluation.task import Task
from homespun.evaluation.template import fill


@dataclass(frozen=True)
class Gap:
    """``end`` follows ``prompt``, with the white space between them."""

    prompt: str
    end: str
    where: str


def prepare(material: Material) -> list[Gap]:
    """The texts and their ends."""
    task = material.task

    def solve(row: Row) -> tuple[str, str]:
        gap = gap_of(task, row)
        return gap.prompt, gap.prompt + gap.end

    rows = material.shown_rows() if material.shots else []
    shots = draw_shots(rows, solve, material.shots, task.separator, material.seed)
    gaps = [gap_of(task, row) for row in material.rows()]
    return [Gap(shots.before(gap.prompt), gap.end, gap.where) for gap in gaps]


def gap_of(task: Task, row: Row) -> Gap:
    """One text and its end."""
    prompt = fill(task.prompt, row)
    if task.answer:
        end = fill(task.answer, row)
        if not end:
            raise UsageError(f"{row.where}: the answer is empty")
        return Gap(prompt, task.delimiter + end, row.where)
    words = prompt.split()
    if len(words) < 2:
        raise UsageError(f"{row.where}: a text of {len(words)} words has no last word to be told from those before it")
    whole = prompt.rstrip()
    before = whole[: -len(words[-1])].rstrip()
    return Gap(before, whole[len(before) :], row.where)


def score(gaps: list[Gap], subject: Subject, stage: Stage) -> Outcome:
    """How often the end is exactly what greedy decoding writes, and the perplexity of the ends."""
    stage.resize(len(gaps))
    scored = subject.scorer.of_texts([(gap.prompt, gap.end) for gap in gaps], stage.advance)
    nats = np.array([one.total for one in scored])
    sizes = [len(gap.end.strip().encode("utf-8")) for gap in gaps]
    ones = np.ones_like(nats)
    measures = [
        share_of("exact match", [one.verbatim for one in scored]),
        Measure("perplexity of an answer", np.stack([-nats, ones], axis=-1), answer_perplexity, "", LOWER),
        Measure(
            "bits per byte of answers",
            np.stack([-nats / math.log(2), np.array(sizes, dtype=float)], axis=-1),
            quotient,
            "",
            LOWER,
        ),
    ]
    examples = [
        {"where": gap.where, "right": gap.end.strip(), "exact": one.verbatim, "nats": one.total}
        for gap, one in zip(gaps, scored, strict=True)
    ]
    return Outcome(measures, examples, cut_note(subject.scorer, len(gaps)), gaps[0].prompt + gaps[0].end)


def answer_perplexity(sums: np.ndarray) -> np.ndarray:
    """e to the power of the mean nats of a whole answer."""
    return np.exp(np.minimum(divide(sums[..., 0], sums[..., 1]), LARGEST_EXPONENT))


KIND = Kind(
    prepare,
    score,
    needs=("data", "prompt"),
    takes=("answer", "delimiter", "separator", "shots_from"),
    shows_examples=True,
)
