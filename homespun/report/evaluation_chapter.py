"""The chapter on evaluations: their figures with intervals, tests against other models, and what was asked.

In: the records of ``evaluations/*.json``, which may be of any age or damaged. Out: a chapter; and rows of words, which
the command line prints too.
"""

import math
import shlex
from typing import Any

from homespun.report.facts import Facts
from homespun.report.lookup import mapping, number, sequence, text
from homespun.report.markup import chapter, code, escape, fold, paragraph, table
from homespun.report.read_run import RunData
from homespun.report.wording import MINUS, UNKNOWN, significant, whole

FIGURE_HEADS = ("", "value", "95 % interval", "examples")
MOST_EXAMPLES, LONGEST_CELL, LONGEST_SHOWN, MOST_LABELS = 12, 200, 4_000, 30
SHARE = "share"
SURE = 0.05


def evaluation_chapter(run: RunData, facts: Facts) -> str:
    """Every evaluation of the run, in the order of their names."""
    lead = (
        "What was asked of the model and how it did. The interval says how far chance in the choice of examples "
        "reaches: 19 of 20 such intervals hold the true value."
    )
    if not run.evaluations:
        asking = code(f"homespun evaluate {shlex.quote(str(run.folder))} --task validation", "how to ask")
        waiting = paragraph("Nothing has been asked of this model so far.") + asking
        return chapter("evaluation", "How good it is", lead, waiting)
    return chapter("evaluation", "How good it is", lead, "".join(map(one_evaluation, run.evaluations)))


def one_evaluation(record: dict[str, Any]) -> str:
    """Title, figures, tests, notes, and what can be opened."""
    inside = f"<h3>{escape(heading(record))}</h3>"
    inside += paragraph(about) if (about := text(record, "about")) else ""
    head, *rows = figure_rows(record)
    inside += table(head, rows, caption=heading(record), numeric=(1, 2, 3))
    if mapping(record, "against"):
        head, *rows = difference_rows(record)
        inside += table(head, rows, caption="compared", numeric=(1, 2, 3, 4, 5))
    inside += "".join(paragraph(f"{note}.", "remark") for note in sequence(record, "notes") if isinstance(note, str))
    if matrix := mapping(record, "matrix"):
        inside += fold("Which class was taken for which", matrix_table(matrix))
    if shown := text(record, "shown"):
        inside += fold("The first one, as the model saw it", code(shown[-LONGEST_SHOWN:], "prompt"))
    examples = [one for one in sequence(record, "examples") if isinstance(one, dict)]
    if examples:
        inside += fold(f"The first of {whole(len(examples))} examples", examples_table(examples[:MOST_EXAMPLES]))
    return inside


def heading(record: dict[str, Any]) -> str:
    """The task in a few words: ``addition, 5 examples shown, 200 asked``."""
    asked = number(record, "limit")
    shots = number(record, "shots")
    parts = [
        text(record, "task") or "a task",
        f"{whole(shots)} examples shown" if shots else "",
        f"{whole(asked)} of its examples" if asked else "",
        text(record, "checkpoint") or "",
        f"with {adapter}" if (adapter := text(record, "adapter")) else "",
    ]
    return ", ".join(part for part in parts if part)


def figure_rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Name, value, interval, number of examples; the first row is the head."""
    rows: list[tuple[str, ...]] = [FIGURE_HEADS]
    for figure in sequence(record, "figures"):
        unit = text(figure, "unit") or ""
        low, high = (told(number(figure, end), unit) for end in ("low", "high"))
        interval = UNKNOWN if UNKNOWN in (low, high) else f"{low} to {high}"
        value = told(number(figure, "value"), unit)
        rows.append((named(figure), value, interval, whole(number(figure, "examples"))))
    return rows


def difference_rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Both values, their difference with its interval and p; the first row is the head."""
    units = {text(figure, "name"): text(figure, "unit") or "" for figure in sequence(record, "figures")}
    other = text(record, "against", "name") or "the other"
    rows: list[tuple[str, ...]] = [("", "this model", other, "difference", "95 % interval", "p")]
    for one in sequence(record, "against", "differences"):
        unit = units.get(text(one, "name"), "")
        values = (told(number(one, key), unit) for key in ("value", "other"))
        low, high = (told(number(one, end), unit, sign=True) for end in ("low", "high"))
        interval = UNKNOWN if UNKNOWN in (low, high) else f"{low} to {high}"
        rows.append((named(one), *values, told(number(one, "difference"), unit, sign=True), interval, chance(one)))
    return rows


def named(figure: Any) -> str:
    """The measure with its unit, where that is not percent."""
    unit = text(figure, "unit")
    name = text(figure, "name") or UNKNOWN
    return f"{name}, {unit}" if unit and unit != SHARE else name


def told(value: float | None, unit: str, sign: bool = False) -> str:
    """A share in percent, anything else in four digits; ``sign``: with a plus too."""
    if value is None:
        return UNKNOWN
    plus = "+" if sign and value > 0 else ""
    if unit == SHARE:
        return f"{plus}{100 * value:.1f} %".replace("-", MINUS)
    return plus + significant(value, 4)


def chance(difference: Any) -> str:
    """The p of a test; a star where it is below 5 %."""
    p = number(difference, "p")
    if p is None:
        return UNKNOWN
    digits = "< 0.0001" if p < 0.0001 else f"{p:.{max(2, 1 - math.floor(math.log10(p)))}f}" if p > 0 else "0"
    return f"{digits} *" if p < SURE else digits


def matrix_table(matrix: dict[str, Any]) -> str:
    """A confusion matrix: true classes down, what the model said across."""
    labels = [str(label) for label in sequence(matrix, "labels")][:MOST_LABELS]
    rows = [
        (f"is {label}", *(str(cell) for cell in (row if isinstance(row, list) else [])[: len(labels)]))
        for label, row in zip(labels, sequence(matrix, "counts"), strict=False)
    ]
    heads = ("", *(f"told {label}" for label in labels))
    return table(heads, rows, caption="confusion matrix", numeric=range(1, len(heads)))


def examples_table(examples: list[dict[str, Any]]) -> str:
    """A few examples with whatever was written down of each."""
    heads = list(examples[0])
    return table(heads, [[cell(one.get(head)) for head in heads] for one in examples], caption="examples")


def cell(value: Any) -> str:
    """Any value of a record in a table cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return significant(float(value), 4)
    if isinstance(value, list):
        return ", ".join(map(cell, value))[:LONGEST_CELL]
    return str(value)[:LONGEST_CELL]
