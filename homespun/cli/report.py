"""``homespun report RUN``: write the run's ``report.html`` anew and sum the run up in a few lines."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def report(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the summary for programs")] = False,
) -> None:
    """Write report.html of a run and sum it up."""
    from homespun.pipeline.run_folder import RunFolder
    from homespun.report.read_run import read_run
    from homespun.report.terminal import summary, summary_lines
    from homespun.report.write import write_report

    RunFolder(run).record()
    page = write_report(run)
    if json_output:
        print(json.dumps(summary(read_run(run)) | {"report": str(page)}, indent=1, ensure_ascii=False))
        return
    print("\n".join([*summary_lines(read_run(run)), f"report: {page}"]))
