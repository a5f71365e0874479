"""The chapters of a run that sorts texts: what it learned from, and how it did beside the traditional ways."""

from typing import Any

from homespun.report.facts import Facts
from homespun.report.figure_words import figure_in_words
from homespun.report.lookup import as_number, find, mapping, number, numbers, sequence
from homespun.report.markup import bars, chapter, element, escape, fold, not_yet, paragraph, table
from homespun.report.read_run import RunData
from homespun.report.wording import EN_DASH, count, percent, tenths, whole

MODEL = "model"  # its name among the ways
NAMES = {MODEL: "this model"}
SPLITS = ("train", "validation", "test")
LEFT_OUT = {
    "malformed": "malformed lines",
    "empty": "empty",
    "duplicates": "told a second time",
    "contradictory": "with two different labels",
    "surplus": "left out for the balance of classes",
}
MOST_SHOWN, MOST_ROWS = 24, 1000
FIGURES = ("accuracy", "balanced accuracy", "macro F1", "calibration error", "Brier score")


def labelled_chapter(run: RunData, facts: Facts) -> str:
    """Sources, splits, classes, what was left out."""
    lead = (
        "Each text has a label. Some are kept aside for validation, while the model learns, and others for the test, "
        "which is looked at once, at the end."
    )
    inside = "".join(
        element("p", f"<code>{escape(str(source))}</code>") for source in sequence(run.run, "sources")[1:40]
    )
    left_out = numbers(run.labelled, "left_out")
    told = [f"{count(amount)} {LEFT_OUT[kind]}" for kind, amount in left_out.items() if amount and kind in LEFT_OUT]
    inside += paragraph(
        f"No text is in two splits. Not used: {', '.join(told) or 'none'}.",
    )
    parts = [sequence(run.labelled, "splits", split, "of_class") for split in SPLITS]
    rows = [
        (str(label), *(whole(as_number(part[place]) if place < len(part) else None) for part in parts))
        for place, label in enumerate(sequence(run.labelled, "labels")[:MOST_ROWS])
    ]
    heads = ("class", "to train on", "for validation", "for the test")
    listed = table(heads, rows, caption="texts of each class", numeric=(1, 2, 3))
    inside += fold("All classes", listed) if len(rows) > MOST_SHOWN else listed
    return chapter("data", "The texts and their labels", lead, inside)


def examination_chapter(run: RunData, facts: Facts) -> str:
    """The figures of all ways on the test, who is mistaken for whom, and how sure to be."""
    lead = "The same test for the model and for ways that need none: is it worth it?"
    ways = mapping(run.result, "test", "ways")
    if not ways:
        return chapter("test", "The test", lead, not_yet("The test comes when training has ended."))
    rows = [
        (NAMES.get(name, name), accuracy, tenths(accuracy), "model" if name == MODEL else "plain")
        for name in ways
        if (accuracy := number(ways, name, "figures", "accuracy", "value")) is not None
    ]
    inside = f'<figure class="comparison">{bars(rows, "accuracy, longer is better")}</figure>'
    heads = ("", *(NAMES.get(name, name) for name in ways))
    listed = [(name, *(figure_in_words(find(way, "figures", name)) for way in ways.values())) for name in FIGURES]
    inside += table(heads, listed, caption="figures on the test", numeric=tuple(range(1, len(heads))))
    texts = count(number(run.result, "test", "texts"))
    inside += paragraph(
        f"On {texts} texts; in brackets the 95 % interval, which knows only of the chance by which these texts were "
        "chosen. Calibration error: how far the model is surer, or less sure, than it is right.",
        "remark",
    )
    inside += paragraph(" ".join(filter(None, (compared(name, way) for name, way in ways.items()))))
    labels = [str(label) for label in sequence(run.result, "test", "labels")]
    for name, way in ways.items():
        if matrix := confusion(labels, find(way, "confusion")):
            title = f"Who is taken for whom: {NAMES.get(name, name)}"
            inside += f"<h3>{escape(title)}</h3>{matrix}" if name == MODEL else fold(title, matrix)
    inside += fold("How sure it is, and how right", calibration(sequence(ways, MODEL, "calibration")))
    return chapter("test", "The test", lead, inside)


def compared(name: str, way: Any) -> str:
    """A sentence on the difference between the model and another way."""
    difference, p = number(way, "compared", "difference"), number(way, "compared", "p")
    if difference is None or p is None:
        return ""
    if not difference:
        return f"Against {name} it is level."
    sure = "which could well be chance" if p > 0.05 else "which is hardly chance"
    word = "better" if difference > 0 else "worse"
    return f"Against {name} its accuracy is {100 * abs(difference):.1f} points {word}, {sure} (p = {p:.2g})."


def confusion(labels: list[str], matrix: Any) -> str:
    """Rows are what texts are, columns what they were taken for."""
    rows = [sequence({"row": row}, "row") for row in matrix] if isinstance(matrix, list) else []
    if not rows or len(rows) != len(labels):
        return ""
    cells = [(label, *(whole(as_number(cell)) for cell in row)) for label, row in zip(labels, rows, strict=True)]
    heads = ("is … taken for", *labels)
    return table(heads, cells, caption="confusions on the test", numeric=tuple(range(1, len(heads))))


def calibration(ranges: list[Any]) -> str:
    """For each range of confidence, how many are right."""
    rows = [
        (
            f"{percent(number(one, 'from'))}{EN_DASH}{percent(number(one, 'to'))}",
            whole(number(one, "texts")),
            percent(number(one, "confidence")),
            percent(number(one, "accuracy")),
        )
        for one in ranges
    ]
    return table(("confidence", "texts", "mean of it", "right"), rows, caption="calibration", numeric=(1, 2, 3))
