"""Classification by likelihood: which of the labels would the model say after the prompt?

The probabilities of the labels, made to add up to 1, are also judged by how well they are calibrated. A model that was
finetuned to classify has its own command; this asks one that only continues texts.
"""

import numpy as np

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.classes import MOST_CLASSES, classification, confusion
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, cut_note
from homespun.evaluation.kinds.choice import Asked, shown_of
from homespun.evaluation.questions import FEWEST_CHOICES, ask_label, with_shots


def prepare(material: Material) -> Asked:
    """The questions, of as many classes as can be told apart."""
    labels = material.task.labels
    if not FEWEST_CHOICES <= len(set(labels)) == len(labels) <= MOST_CLASSES or not all(labels):
        raise UsageError(
            f"{material.task.name}: task.labels must be 2 to {MOST_CLASSES} different texts, none of them empty"
        )
    return material.task, with_shots(material, lambda row: ask_label(material.task, row))


def score(asked: Asked, subject: Subject, stage: Stage) -> Outcome:
    """All measures of classification."""
    task, questions = asked
    pairs = [(one.prompt, task.delimiter + label) for one in questions for label in one.choices]
    stage.resize(len(pairs))
    scored = subject.scorer.of_texts(pairs, stage.advance)
    nats = np.array([one.total for one in scored]).reshape(len(questions), len(task.labels))
    likelihoods = np.exp(nats - nats.max(-1, keepdims=True))
    probabilities = likelihoods / likelihoods.sum(-1, keepdims=True)
    truth, told = [one.right for one in questions], probabilities.argmax(-1)
    examples = [
        {
            "where": one.where,
            "right": task.labels[one.right],
            "told": task.labels[said],
            "probability": float(row[said]),
        }
        for one, said, row in zip(questions, told, probabilities, strict=True)
    ]
    most = np.bincount(truth).max() / len(truth)
    notes = [f"always saying the most frequent class gets {most:.1%}", *cut_note(subject.scorer, len(pairs))]
    matrix = {"labels": list(task.labels), "counts": confusion(truth, told.tolist(), len(task.labels)).tolist()}
    return Outcome(classification(truth, probabilities), examples, notes, shown_of(task, questions), matrix)


KIND = Kind(
    prepare,
    score,
    needs=("data", "prompt", "labels", "answer"),
    takes=("delimiter", "separator", "shots_from"),
    shows_examples=True,
)
