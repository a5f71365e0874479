"""Questions with choices, as every kind that has them asks: a prompt, what may follow it, which of these is right.

In: rows and a task. Out: questions, the examples shown before them included.
"""

from collections.abc import Callable
from dataclasses import dataclass

from homespun.common.errors import UsageError
from homespun.evaluation.kind import Material
from homespun.evaluation.rows import Row
from homespun.evaluation.shots import draw_shots
from homespun.evaluation.task import Task
from homespun.evaluation.template import PLACE, cell, fill, places

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FEWEST_CHOICES = 2


@dataclass(frozen=True)
class Question:
    """``choices``: what the model might say, without the delimiter; ``right``: which of them is right."""

    prompt: str
    choices: tuple[str, ...]
    right: int
    where: str


Ask = Callable[[Row], Question]


def with_shots(material: Material, ask: Ask) -> list[Question]:
    """A question for each row, each with the same examples before it."""

    def solve(row: Row) -> tuple[str, str]:
        question = ask(row)
        return question.prompt, question.prompt + material.task.delimiter + question.choices[question.right]

    shots = draw_shots(
        material.shown_rows() if material.shots else [], solve, material.shots, material.task.separator, material.seed
    )
    asked = [ask(row) for row in material.rows()]
    return [Question(shots.before(one.prompt), one.choices, one.right, one.where) for one in asked]


def ask_choices(task: Task, row: Row) -> Question:
    """The choices of the row itself; by letter they stand in the prompt, at ``{choices}``, and letters are answers."""
    texts = choice_texts(task, row)
    right = which(raw_answer(task.answer, row), texts, row)
    if task.by == "text":
        return Question(fill(task.prompt, row), texts, right, row.where)
    if "choices" not in places(task.prompt):
        raise UsageError(f'{task.name}: with by = "letter" the prompt needs {{choices}} where they are to be listed')
    if len(texts) > len(LETTERS):
        raise UsageError(f'{row.where}: {len(texts)} choices are more than there are letters; take by = "text"')
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, texts, strict=False))
    return Question(fill(task.prompt, row, choices=listed), tuple(LETTERS[: len(texts)]), right, row.where)


def ask_label(task: Task, row: Row) -> Question:
    """The same choices for all: the labels."""
    return Question(
        fill(task.prompt, row), task.labels, which(raw_answer(task.answer, row), task.labels, row), row.where
    )


def choice_texts(task: Task, row: Row) -> tuple[str, ...]:
    """What the row can be answered with: the list in a column, or templates filled."""
    if isinstance(task.choices, tuple):
        texts = tuple(fill(template, row) for template in task.choices)
    else:
        listed = cell(row, task.choices)
        if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
            raise UsageError(f"{row.where}: the column {task.choices} holds {str(listed)[:40]!r}, not a list of texts")
        texts = tuple(listed)
    if len(texts) < FEWEST_CHOICES or not all(texts):
        raise UsageError(f"{row.where}: give at least two choices, none of them empty")
    return texts


def raw_answer(template: str, row: Row) -> object:
    """What the row says is right: a number stays a number where the answer is one column."""
    match = PLACE.fullmatch(template)
    return cell(row, match[1]) if match and match[1] else fill(template, row)


def which(answer: object, choices: tuple[str, ...], row: Row) -> int:
    """The place of the right choice, told by its text, its number from 0, or its letter."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(choices):
            return answer
    elif isinstance(answer, str):
        if answer in choices:
            return choices.index(answer)
        if answer.isdecimal() and int(answer) < len(choices):
            return int(answer)
        if len(answer) == 1 and 0 <= LETTERS.find(answer) < len(choices):
            return LETTERS.index(answer)
    shown = ", ".join(map(repr, choices[:6]))
    raise UsageError(f"{row.where}: the answer {str(answer)[:40]!r} is not among the choices {shown[:200]}")
