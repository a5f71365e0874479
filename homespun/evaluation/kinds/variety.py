"""Diversity and repetition of what a model writes, beside the text that it should have written.

Prompts are passages of the validation text. The model's texts and the true ones are cut to the same number of words,
for the measures depend on length; the true ones say what a good value is.
"""

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.asking import Continuing
from homespun.evaluation.kind import Kind, Material, Outcome, Subject
from homespun.evaluation.kinds.generation import SHOWN_OF_ANSWER
from homespun.evaluation.measure import NEITHER, SHARE, Measure, mean_of
from homespun.evaluation.passages import cut_in_two, passages
from homespun.evaluation.task import Task
from homespun.evaluation.variety import distinct, repeated, shared
from homespun.evaluation.words import words_of
from homespun.inference.settings import SamplingConfig

Asked = tuple[Task, int, list[tuple[str, str]]]


def prepare(material: Material) -> Asked:
    """Prompts and what follows them in the text."""
    task = material.task
    length = task.prompt_characters + task.answer_characters
    count = min(task.samples, material.limit or task.samples)
    found = passages(material.texts(), count, length, material.seed)
    if not found:
        raise UsageError(f"no text here is as long as {length:,} characters; lower task.prompt_characters")
    return task, material.seed, [cut_in_two(passage, task.prompt_characters) for passage in found]


def score(asked: Asked, subject: Subject, stage: Stage) -> Outcome:
    """Both sides, measured alike."""
    task, seed, pairs = asked
    stage.resize(len(pairs))
    sampling = SamplingConfig(temperature=task.temperature, min_p=0.0, maximum_tokens=task.maximum_tokens, seed=seed)
    written = Continuing(subject, "", sampling).write([prompt for prompt, _ in pairs], stage.advance)
    cut = [equally_long(text, true) for text, (_, true) in zip(written, pairs, strict=True)]
    measures = measures_of([text for text, _ in cut], "") + measures_of([true for _, true in cut], ", true text")
    examples = [
        {"prompt": prompt[-SHOWN_OF_ANSWER:], "told": text[:SHOWN_OF_ANSWER]}
        for (prompt, _), text in zip(pairs, written, strict=True)
    ]
    return Outcome(measures, examples, [], pairs[0][0] + written[0])


def equally_long(first: str, second: str) -> tuple[str, str]:
    """The beginnings of both, with as many words."""
    words, others = words_of(first), words_of(second)
    count = min(len(words), len(others))
    return " ".join(words[:count]), " ".join(others[:count])


def measures_of(texts: list[str], remark: str) -> list[Measure]:
    """Of texts; ``remark`` says whose they are."""
    return [
        mean_of(f"different words{remark}", [distinct(text, 1) for text in texts], SHARE, NEITHER),
        mean_of(f"different pairs of words{remark}", [distinct(text, 2) for text in texts], SHARE, NEITHER),
        mean_of(f"repeated runs of four{remark}", list(map(repeated, texts)), SHARE, NEITHER),
        mean_of(f"runs of four also in another text{remark}", shared(texts), SHARE, NEITHER),
    ]


KIND = Kind(
    prepare,
    score,
    needs=(),
    takes=("data", "samples", "prompt_characters", "answer_characters", "maximum_tokens", "temperature"),
)
