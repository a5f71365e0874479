"""``homespun runs [FOLDER…]``: the runs below some folders side by side, the lowest bits per byte first."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter, is_watched

if TYPE_CHECKING:
    from homespun.report.runs import Comparison

FIRST_NUMBER = 2  # columns before it are words
THIN = "\u202f"


def runs(
    *folders: Annotated[Path, Parameter(help="where to look for run folders [runs]")],
    html: Annotated[Path | None, Parameter(help="write one page with the table and the curves here")] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the table for programs")] = False,
) -> None:
    """Compare runs: figures, and the settings in which they differ."""
    from homespun.report.runs import OTHER_TEXT, compare_runs, record
    from homespun.report.runs_page import write_comparison

    comparison = compare_runs(folders or (Path("runs"),))
    reporter = choose_reporter()
    for line in comparison.left_out:
        reporter.warn(line)
    if not comparison.same_text:
        reporter.warn(OTHER_TEXT)
    if html:
        write_comparison(comparison, html)
        reporter.say(f"page: {html}")
    if json_output:
        print(json.dumps(record(comparison), indent=1, ensure_ascii=False, default=str))
    else:
        (print_rich if is_watched(sys.stdout) else print_plain)(comparison)


def rows(comparison: "Comparison") -> list[tuple[str, ...]]:
    """The figures; the first row is the head."""
    from homespun.report.runs import HEADS, cells

    return [HEADS, *(cells(run) for run in comparison.runs)]


def settings(comparison: "Comparison") -> list[tuple[str, ...]]:
    """For each run the settings that are not the same in all runs; the first row is the head."""
    from homespun.report.runs import setting

    special = [
        (run.label, ", ".join(f"{key} {setting(value)}" for key, value in comparison.differences(run).items()))
        for run in comparison.runs
    ]
    return [("run", "settings that differ"), *special] if comparison.differing else []


def print_plain(comparison: "Comparison") -> None:
    """Columns under each other, for files and pipes."""
    for table in filter(None, (rows(comparison), settings(comparison))):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            words = [
                cell.rjust(width) if index >= FIRST_NUMBER else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(words).rstrip().replace(THIN, " "))
        print()


def print_rich(comparison: "Comparison") -> None:
    """The same where a person looks on."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for head, *body in filter(None, (rows(comparison), settings(comparison))):
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        for index, title in enumerate(head):
            table.add_column(title, justify="right" if index >= FIRST_NUMBER else "left")
        for row in body:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table, "")
