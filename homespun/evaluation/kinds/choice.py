"""Multiple choice: of several continuations of a prompt, is the right one the likeliest?

Three ways to say which is likeliest, for longer texts are less likely whatever they say: by the probability of the
whole text, per token, and per byte (Gao 2021; Gu et al. 2024, "OLMES"). By letter: the choices stand in the prompt, and
their letters are what may follow; then there is one way only.
"""

import numpy as np

from homespun.common.progress import Stage
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, cut_note
from homespun.evaluation.measure import Measure, share_of
from homespun.evaluation.questions import Question, ask_choices, with_shots
from homespun.evaluation.task import Task

Asked = tuple[Task, list[Question]]


def prepare(material: Material) -> Asked:
    """The questions."""
    return material.task, with_shots(material, lambda row: ask_choices(material.task, row))


def score(asked: Asked, subject: Subject, stage: Stage) -> Outcome:
    """Accuracy, by each way of comparing."""
    task, questions = asked
    pairs = [(one.prompt, task.delimiter + choice) for one in questions for choice in one.choices]
    stage.resize(len(pairs))
    scored = iter(subject.scorer.of_texts(pairs, stage.advance))
    ways: dict[str, list[int]] = {"accuracy": [], "accuracy per token": [], "accuracy per byte": []}
    examples = []
    for one in questions:
        of_choices = [next(scored) for _ in one.choices]
        nats = np.array([choice.total for choice in of_choices])
        sizes = {
            "accuracy": np.ones(len(nats)),
            "accuracy per token": np.array([len(choice.nats) for choice in of_choices]),
            "accuracy per byte": np.array([len(text.encode("utf-8")) for text in one.choices]),
        }
        for name, size in sizes.items():
            ways[name].append(int((nats / size).argmax()))
        told = ways["accuracy"][-1]
        examples.append(
            {"where": one.where, "right": one.choices[one.right], "told": one.choices[told], "nats": nats.tolist()}
        )
    right = np.array([one.right for one in questions])
    kept = list(ways)[:1] if task.by == "letter" else list(ways)
    measures: list[Measure] = [share_of(name, np.array(ways[name]) == right) for name in kept]
    chance = float(np.mean([1 / len(one.choices) for one in questions]))
    notes = [f"by chance {chance:.1%} would be right", *cut_note(subject.scorer, len(pairs))]
    return Outcome(measures, examples, notes, shown_of(task, questions))


def shown_of(task: Task, questions: list[Question]) -> str:
    """The first prompt with its right answer."""
    first = questions[0]
    return first.prompt + task.delimiter + first.choices[first.right]


KIND = Kind(
    prepare,
    score,
    needs=("data", "prompt", "choices", "answer"),
    takes=("by", "delimiter", "separator", "shots_from"),
    shows_examples=True,
)
