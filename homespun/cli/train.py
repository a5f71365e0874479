"""``homespun train``: a run with a given configuration and no planning, or the rest of one that was stopped."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.build import default_folder
from homespun.cli.configuration import ConfigFile, ConfigurationOptions, Preset, choices_of, option_of
from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError
from homespun.pipeline.configuration import Options


def train(
    *sources: Annotated[str, Parameter(help="files and folders of text; or python")],
    resume: Annotated[Path | None, Parameter(help="continue the run in this folder")] = None,
    out: Annotated[Path | None, Parameter(help="the run folder [runs/NAME-OF-SOURCE]")] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the result for programs")] = False,
    preset: Preset = None,
    config_file: ConfigFile = None,
    config: ConfigurationOptions = Options(),
) -> int:
    """Train exactly as configured, or continue a run that was stopped.

    homespun train SOURCE --config recipe.toml --out RUN
    homespun train --resume RUN
    """
    choices = choices_of(config)
    if resume is None and not sources:
        raise UsageError("no SOURCE: name files or folders of text, or continue a run with --resume RUN")
    from homespun.pipeline.build import begin, continue_run

    reporter = choose_reporter()
    if resume is not None:
        changed = [key for key, origin in choices.origins.items() if origin != "default"]
        if changed or sources or out:
            raise UsageError(
                "--resume continues a run as it was configured; leave out sources, --out and "
                f"{', '.join(option_of(key) for key in changed) or 'other options'}"
            )
        return continue_run(resume, reporter, json_output)
    command = ["homespun", *sys.argv[1:]]
    return begin(out or default_folder(sources), list(sources), None, choices, command, reporter, json_output)
