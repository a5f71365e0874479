"""``homespun rate RUN``: which learning rate suits a run's model and text, found by a short run of rising rates."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.common.errors import UsageError

BAR_WIDTH = 40


def rate(
    run: Annotated[Path, Parameter(help="a run folder with its tokens; it is not changed")],
    /,
    *,
    steps: Annotated[int, Parameter(help="steps of the search")] = 120,
    lowest: Annotated[float, Parameter(help="the rate it begins with")] = 1e-5,
    highest: Annotated[float, Parameter(help="the rate it ends with, if the loss lasts that long")] = 1.0,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print every step for programs")] = False,
) -> None:
    """Find a learning rate: new weights, a rate that rises at every step, and the loss that it gives."""
    if not 0 < lowest < highest or steps < 10:
        raise UsageError("give 0 < --lowest < --highest, and at least 10 --steps")
    from homespun.cli.terminal import choose_reporter
    from homespun.pipeline.rate_search import search_rate
    from homespun.training.rate_finder import suggest

    trials = search_rate(run, lowest, highest, steps, choose_reporter())
    found = suggest(trials)
    if json_output:
        print(json.dumps({"suggested": found, "trials": [asdict(trial) for trial in trials]}, indent=1))
        return
    most = max(trial.smooth for trial in trials)
    for trial in trials[:: max(1, len(trials) // 24)]:
        print(f"{trial.rate:9.2e}  {trial.smooth:7.3f}  {'█' * round(BAR_WIDTH * trial.smooth / most)}")
    print(f"the loss fell fastest at --training.learning-rate {found:g}")
