"""A ``Comparison`` -> one HTML page: the table, the curves of all runs, the settings in which they differ."""

from collections.abc import Sequence
from pathlib import Path

from homespun.common.files import write_atomic
from homespun.report.charts import Axis, Line
from homespun.report.document import document, resource
from homespun.report.markup import chapter, legend, not_yet, paragraph, table
from homespun.report.runs import HEADS, OTHER_TEXT, ComparedRun, Comparison, cells, setting
from homespun.report.training_chapters import responsive, scaled, tabs, time_unit
from homespun.report.wording import count, decimal, plural, significant

MOST_DOTS = 40  # of a curve; more would hide it
DYES = ("indigo", "madder", "weld", "moss", "walnut")
# How a line is broken, and the same for its key in the legend: the first five runs are whole lines.
DASHES = (("none", "{dye}"), ("7 4", "repeating-linear-gradient(90deg, {dye} 0 7px, transparent 7px 11px)"),
          ("2 4", "repeating-linear-gradient(90deg, {dye} 0 2px, transparent 2px 6px)"))  # fmt: skip
STYLES = len(DYES) * len(DASHES)


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page to ``path``, atomically; ``HomespunError`` when that cannot be done."""
    write_atomic(path, comparison_page(comparison))


def comparison_page(comparison: Comparison) -> str:
    """The whole document."""
    return document(
        [
            ("runs", "Runs", table_chapter(comparison)),
            ("curves", "Curves", curves_chapter(comparison.runs)),
            ("settings", "Settings", settings_chapter(comparison)),
        ],
        title=plural(len(comparison.runs), "run"),
        maker="a comparison of runs",
        heading=plural(len(comparison.runs), "run"),
        when="side by side",
        footer="Written by homespun. This page is one file and loads nothing: keep it, print it, send it on.",
        style="".join(line_style(index) for index in range(STYLES)),
        script=resource("page.js"),
    )


def line_style(index: int) -> str:
    """The colour and the dashes of the run at ``index``, for its curve, its dots and its key."""
    dye, (dashes, key) = f"var(--{DYES[index % len(DYES)]})", DASHES[index // len(DYES)]
    return (
        f".line-run-{index} {{ stroke: {dye}; stroke-dasharray: {dashes}; }} .dot-run-{index} {{ fill: {dye}; }} "
        f".key-run-{index} {{ background: {key.format(dye=dye)}; }}\n"
    )


def table_chapter(comparison: Comparison) -> str:
    """One row for each run, the best first."""
    rows = table(HEADS, [cells(run) for run in comparison.runs], caption="runs", numeric=range(2, len(HEADS)))
    warning = "" if comparison.same_text else paragraph(f"Attention: {OTHER_TEXT}.", "note warning")
    remarks = "".join(paragraph(line, "remark") for line in comparison.left_out)
    return chapter("runs", "The runs", verdict(comparison.runs), warning + rows + remarks)


def verdict(runs: Sequence[ComparedRun]) -> str:
    """Which run is ahead."""
    known = [run for run in runs if run.facts.bits_per_byte is not None]
    if not known:
        return "None of these runs has a validation yet."
    return f"{known[0].label} has the lowest validation loss: {decimal(known[0].facts.bits_per_byte, 3)} bits per byte."


def curves_chapter(runs: Sequence[ComparedRun]) -> str:
    """The validation losses of all runs, over tokens and over time."""
    unit, unit_seconds = time_unit([seconds for run in runs for seconds in run.data.validation["seconds"]])
    views = [
        ("over tokens", "tokens", Axis("tokens seen", count), 1.0),
        ("over time", "seconds", Axis(f"{unit} of training", significant), 1 / unit_seconds),
    ]
    pictures = [
        (name, responsive(curves(runs, column, factor), [], axis, Axis("bits per byte", significant),
                          "Validation loss of each run", f"Bits per byte of every run {name}.", column))
        for name, column, axis, factor in views
    ]  # fmt: skip
    lead = "Bits per byte on text that is not trained on: on the same text they are comparable, whatever the tokenizer."
    pictures = [(name, picture) for name, picture in pictures if picture]
    if not pictures:
        return chapter("curves", "How they learned", lead, not_yet("The curves begin with the first validation."))
    keys = legend((run.label, f"run-{index % STYLES}") for index, run in enumerate(runs))
    return chapter("curves", "How they learned", lead, tabs(pictures) + keys)


def curves(runs: Sequence[ComparedRun], column: str, factor: float) -> list[Line]:
    """One line for each run: bits per byte against a column of its validations."""
    lines = []
    for index, run in enumerate(runs):
        series = run.data.validation
        lines.append(
            Line(
                run.label,
                scaled(series[column], factor),
                series["bits_per_byte"],
                f"run-{index % STYLES}",
                dots=len(series) <= MOST_DOTS,
            )
        )
    return lines


def settings_chapter(comparison: Comparison) -> str:
    """The settings that differ, a row for each."""
    lead = "Only what is not the same in all of them."
    if not comparison.differing:
        return chapter("settings", "Their settings", lead, paragraph("All settings are the same."))
    rows = [(key, *(setting(run.configuration.get(key)) for run in comparison.runs)) for key in comparison.differing]
    heads = ("", *(run.label for run in comparison.runs))
    return chapter(
        "settings", "Their settings", lead, table(heads, rows, caption="settings that differ", style="facts")
    )
