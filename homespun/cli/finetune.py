"""``homespun finetune``: a trained model goes on to a task of its own."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from homespun.cli.build import default_folder
from homespun.cli.configuration import COMMAND_LINE, ConfigFile, ConfigurationOptions, choices_of
from homespun.cli.terminal import choose_reporter
from homespun.common.configuration import flatten
from homespun.common.errors import UsageError
from homespun.pipeline.configuration import Options

app = App(name="finetune", help="A trained model goes on to a task of its own.")


@app.command
def classify(
    base: Annotated[Path, Parameter(help="the run folder of the model to begin with")],
    /,
    *tables: Annotated[Path, Parameter(help="CSV, TSV, JSON-lines or Parquet files of texts and labels")],
    text_column: Annotated[str | None, Parameter(help="column of the texts [text]; a number: no line of names")] = None,
    label_column: Annotated[str | None, Parameter(help="column of the labels [label]")] = None,
    train: Annotated[
        Literal["full", "last-layers", "lora", "head"] | None, Parameter(help="what of the base is trained [full]")
    ] = None,
    balance: Annotated[
        Literal["none", "weights", "undersample"] | None, Parameter(help="what is done for rare classes [none]")
    ] = None,
    out: Annotated[Path | None, Parameter(help="the run folder [runs/NAME-OF-TABLE]")] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the result for programs")] = False,
    config_file: ConfigFile = None,
    config: ConfigurationOptions = Options(),
) -> int:
    """Teach a model of text to sort texts into classes; beside it stand the traditional ways.

    homespun finetune classify runs/base spam.csv --text-column message --label-column kind --out runs/spam
    """
    if not tables:
        raise UsageError("no TABLE: name a CSV, TSV, JSON-lines or Parquet file of texts and labels")
    from homespun.inference.load import find_model
    from homespun.pipeline.build import begin

    reporter = choose_reporter()
    _, body = find_model(base, "text", reporter.warn)
    more: dict[str, tuple[Any, str]] = {"model.architecture": ("classifier", "base")}
    more |= {f"model.body.{key}": (value, "base") for key, value in flatten(body).items()}
    for key, value in (
        ("labelled.text_column", text_column), ("labelled.label_column", label_column), ("model.trained", train),
        ("labelled.balance", balance),
    ):  # fmt: skip
        if value is not None:
            more[key] = (value, COMMAND_LINE)
    sources = [str(path) for path in (base, *tables)]
    out = out or default_folder((str(tables[0]),))
    return begin(out, sources, None, choices_of(config, more), ["homespun", *sys.argv[1:]], reporter, json_output)
