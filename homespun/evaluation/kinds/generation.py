"""Generation: what the model writes after a prompt, held against references.

Exact match (white space at the ends and its kind do not count), BLEU, chrF and ROUGE. A model that translates is given
the prompt as its source.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from homespun.common.errors import UsageError
from homespun.common.progress import Advance, Stage
from homespun.evaluation.bleu import bleu, bleu_row
from homespun.evaluation.chrf import chrf, chrf_row
from homespun.evaluation.kind import Kind, Material, Outcome, Subject
from homespun.evaluation.measure import SHARE, Measure, mean_of, share_of
from homespun.evaluation.questions import raw_answer
from homespun.evaluation.rouge import NAMES, rouge
from homespun.evaluation.rows import Row
from homespun.evaluation.shots import draw_shots
from homespun.evaluation.task import Task
from homespun.evaluation.template import fill
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import stream_text
from homespun.inference.translate import Translator
from homespun.inference.uses import CONTINUE, TRANSLATE

SHOWN_OF_ANSWER = 400


@dataclass(frozen=True)
class Exercise:
    """A prompt and what would be right."""

    prompt: str
    references: tuple[str, ...]
    where: str


Asked = tuple[Task, int, list[Exercise]]


def prepare(material: Material) -> Asked:
    """The exercises, and the seed of their sampling."""
    task = material.task

    def solve(row: Row) -> tuple[str, str]:
        prompt = fill(task.prompt, row)
        return prompt, prompt + task.delimiter + references_of(task, row)[0]

    rows = material.shown_rows() if material.shots else []
    shots = draw_shots(rows, solve, material.shots, task.separator, material.seed)
    exercises = [
        Exercise(shots.before(fill(task.prompt, row)), references_of(task, row), row.where) for row in material.rows()
    ]
    return task, material.seed, exercises


def references_of(task: Task, row: Row) -> tuple[str, ...]:
    """The right texts: a text, or a list of them in one column."""
    answer = raw_answer(task, row)
    texts = tuple(answer) if isinstance(answer, list) else (str(answer),)
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UsageError(f"{row.where}: the answer is empty or no text")
    return texts


def score(asked: Asked, subject: Subject, stage: Stage) -> Outcome:
    """All texts written, then measured."""
    task, seed, exercises = asked
    stage.resize(len(exercises))
    sampling = SamplingConfig(
        temperature=task.temperature, min_p=0.0, maximum_tokens=task.maximum_tokens, stop=task.stop, seed=seed
    )
    writer = WRITERS[subject.model.config.task]
    written = list(writer(subject, [one.prompt for one in exercises], sampling, stage.advance))
    examples = [
        {"where": one.where, "right": one.references[0][:SHOWN_OF_ANSWER], "told": text[:SHOWN_OF_ANSWER]}
        for one, text in zip(exercises, written, strict=True)
    ]
    first = exercises[0]
    notes = too_long(subject, [one.prompt for one in exercises])
    shown = first.prompt + task.delimiter + first.references[0]
    return Outcome(measures_of(written, [one.references for one in exercises]), examples, notes, shown)


def measures_of(texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[Measure]:
    """Of texts and the references of each."""
    pairs = list(zip(texts, references, strict=True))
    exact = [" ".join(text.split()) in {" ".join(one.split()) for one in others} for text, others in pairs]
    shares = np.array([rouge(text, others) for text, others in pairs])
    return [
        share_of("exact match", exact),
        Measure("BLEU", np.array([bleu_row(text, others) for text, others in pairs], dtype=float), bleu, "of 100"),
        Measure("chrF", np.array([chrf_row(text, others) for text, others in pairs], dtype=float), chrf, "of 100"),
        *(mean_of(name, shares[:, place], SHARE) for place, name in enumerate(NAMES)),
    ]


def continued(subject: Subject, prompts: Sequence[str], sampling: SamplingConfig, advance: Advance) -> Iterator[str]:
    """What follows each prompt."""
    engine = Engine(subject.model)
    for prompt in prompts:
        yield "".join(stream_text(engine, subject.tokenizer, prompt, sampling))
        advance(1)


def translated(subject: Subject, prompts: Sequence[str], sampling: SamplingConfig, advance: Advance) -> Iterator[str]:
    """Each prompt in the other language; by beam search, whatever ``sampling`` says."""
    for translation in Translator(subject.model, subject.tokenizer).translate(prompts):
        yield translation.text
        advance(1)


WRITERS: dict[str, Callable[[Subject, Sequence[str], SamplingConfig, Advance], Iterator[str]]] = {
    "next_token": continued,
    "translation": translated,
}


def too_long(subject: Subject, prompts: Sequence[str]) -> list[str]:
    """A line for people where prompts are longer than the window."""
    window = subject.scorer.window
    longer = sum(len(ids) + 1 > window for ids in subject.tokenizer.encode_lists(prompts))
    if not longer:
        return []
    return [
        f"{longer:,} of {len(prompts):,} prompts are longer than the {window:,} tokens that the model sees at once: "
        "their beginnings were cut off"
    ]


KIND = Kind(
    prepare,
    score,
    needs=("data", "prompt", "answer"),
    takes=("delimiter", "separator", "shots_from", "stop", "maximum_tokens", "temperature"),
    models=(CONTINUE, TRANSLATE),
    shows_examples=True,
)
