"""``homespun build SOURCE… --minutes M --out RUN``: the whole way from text to a model and its report."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.configuration import ConfigFile, ConfigurationOptions, Preset, choices_of
from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError
from homespun.pipeline.configuration import Options
from homespun.training.dial import Dial, amount


def build(
    *sources: Annotated[str, Parameter(help="files and folders of text; or python: this interpreter's own library")],
    minutes: Annotated[float | None, Parameter(help="how long it may take, all in all [5]")] = None,
    tokens: Annotated[str | None, Parameter(help="instead of --minutes: train on so many tokens, such as 10M")] = None,
    size: Annotated[str | None, Parameter(help="instead of --minutes: a model of about so many parameters")] = None,
    out: Annotated[Path | None, Parameter(help="the run folder [runs/NAME-OF-SOURCE]")] = None,
    assistant: Annotated[
        bool | None,
        Parameter(help="go on: learn to answer questions on the sources' Python functions [where python is a source]"),
    ] = None,
    plan: Annotated[bool, Parameter(negative=(), help="only print the plan")] = False,
    resume: Annotated[
        bool, Parameter(negative=(), help="continue the run in --out if there is one; else begin it")
    ] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the result for programs")] = False,
    preset: Preset = None,
    config_file: ConfigFile = None,
    config: ConfigurationOptions = Options(),
) -> int:
    """Text in, a trained model and its report out.

    Measures this machine, chooses vocabulary, model, batch and steps for the lowest loss in the time
    given (or for the tokens or the size given), says so, and does it. Where Python's own library is read, the model
    then learns to answer (homespun chat RUN/assistant). Interrupted, it continues with: homespun train --resume RUN
    """
    choices = choices_of(config)
    dial = Dial(
        5.0 if minutes is None and tokens is None and size is None else minutes,
        None if tokens is None else amount(tokens, "--tokens"),
        None if size is None else amount(size, "--size"),
    )
    out = out or default_folder(sources)
    unfinished = resume and (out / "run.json").exists()
    if not sources and not unfinished:
        raise UsageError("no SOURCE: name files or folders of text, or python (this interpreter's own library)")
    from homespun.pipeline.assistant import is_usual
    from homespun.pipeline.build import begin, continue_run, show_plan

    if assistant is None:
        assistant = is_usual(list(sources), dial, choices.config.model)
    if plan:
        return show_plan(list(sources), dial, choices, choose_reporter(), json_output, assistant)
    reporter = choose_reporter()
    if unfinished:
        return continue_run(out, reporter, json_output)
    return begin(out, list(sources), dial, choices, ["homespun", *sys.argv[1:]], reporter, json_output, assistant)


def default_folder(sources: tuple[str, ...]) -> Path:
    """``runs/NAME`` after the first source; ``runs/NAME-2`` … when that is taken."""
    name = Path(sources[0]).resolve().name.split(".")[0] if sources else "run"
    candidates = (Path("runs") / (f"{name}-{number}" if number > 1 else name) for number in range(1, 1_000_000))
    return next(path for path in candidates if not path.exists())
