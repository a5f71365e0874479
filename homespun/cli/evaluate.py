"""``homespun evaluate RUN --task NAME|FILE``: how good is a model, with intervals; ``--against RUN2``: is it better?"""

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter

SHOWN_LINES = 40


def evaluate(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *,
    task: Annotated[str, Parameter(help="the name of a task, a task file (.toml), or a text file to be predicted")],
    data: Annotated[Path | None, Parameter(help="a file of examples, in place of the task's own")] = None,
    shots: Annotated[int, Parameter(help="how many solved examples are shown before each prompt")] = 0,
    limit: Annotated[int, Parameter(help="ask only so many examples, drawn by the seed (0: all)")] = 0,
    adapter: Annotated[
        Path | None, Parameter(help="a folder with a LoRA adapter in PEFT's layout, for this run")
    ] = None,
    against: Annotated[Path | None, Parameter(help="another run, asked the same, and a paired test")] = None,
    seed: Annotated[int, Parameter(help="of everything that is drawn")] = 1,
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the record for programs")] = False,
) -> None:
    """Evaluate a model. The result is kept in the run folder and shown in its report.

    homespun evaluate runs/demo --task validation
    homespun evaluate runs/demo --task validation --adapter adapters/mine --against runs/demo
    """
    from homespun.evaluation.task import load_task

    load_task(task)  # an unknown one is told before anything heavy is imported
    from homespun.pipeline.evaluate_run import Wish, evaluate_run
    from homespun.training.device import choose_device

    wish = Wish(task, data, shots, limit, seed)
    record = evaluate_run(run, wish, against, choose_device(device), choose_reporter(), adapter)
    if json_output:
        print(json.dumps(record, indent=1, ensure_ascii=False))
    else:
        print("\n".join(lines(record)))


def lines(record: dict[str, Any]) -> list[str]:
    """The first prompt as the model saw it, and the figures."""
    from homespun.report.evaluation_chapter import difference_rows, figure_rows, heading
    from homespun.report.markup import showable

    told = [heading(record), *filter(None, [record["about"]])]
    if record["shown"]:
        shown = record["shown"].split("\n")
        cut = ["  …"] if len(shown) > SHOWN_LINES else []
        told += ["", "the first one:", *cut]
        told += [f"  | {line}" for line in shown[-SHOWN_LINES:]]
    told += ["", *columns(figure_rows(record))]
    if record["against"]:
        told += ["", *columns(difference_rows(record))]
    return [showable(line) for line in told]


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Cells under each other; all but the first column to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
