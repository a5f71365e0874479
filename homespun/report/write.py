"""A run folder -> ``report.html`` in it. Works at any stage of the run and while it goes on."""

from pathlib import Path

from homespun.common.files import write_atomic
from homespun.report.page import whole_page
from homespun.report.read_run import read_run

REPORT_NAME = "report.html"


def write_report(run: Path) -> Path:
    """Write the report of the run folder ``run`` and return its path.

    Raises ``UsageError`` when the folder is not a run, ``HomespunError`` when the file cannot be written.
    """
    page = whole_page(read_run(run))
    path = run / REPORT_NAME
    write_atomic(path, page)
    return path
