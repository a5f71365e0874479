"""``homespun config show``: every key, its value, where it comes from, what it means."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from homespun.cli.configuration import ConfigFile, ConfigurationOptions, Preset, choices_of
from homespun.common.configuration import flatten
from homespun.common.files import read_json
from homespun.pipeline.configuration import Choices, Options, load_toml

app = App(name="config", help="Show the configuration and where each value comes from.")


@app.command(help="Print every key with its value and its origin; of a run, with --run.")
def show(
    *,
    run: Annotated[Path | None, Parameter(help="show the configuration of this run folder")] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="for programs")] = False,
    preset: Preset = None,
    config_file: ConfigFile = None,
    config: ConfigurationOptions = Options(),
) -> None:
    choices = choices_of_run(run) if run else choices_of(config)
    values = flatten(choices.config)
    if json_output:
        rows = {key: {"value": value, "origin": choices.origins.get(key, "default")} for key, value in values.items()}
        print(json.dumps(rows, indent=1))
        return
    help_of = descriptions(choices.config)
    for key, value in values.items():
        print(f"{key:<28} {value!s:<12} {choices.origins.get(key, 'default'):<14} {help_of[key]}".rstrip())


def choices_of_run(run: Path) -> Choices:
    """What a run folder recorded."""
    from homespun.pipeline.run_folder import RunFolder

    folder = RunFolder(run)
    folder.record()
    origins = read_json(folder.plan).get("origins", {}) if folder.plan.exists() else {}
    return Choices(load_toml(folder.config), origins)


def descriptions(config: Any, prefix: str = "") -> dict[str, str]:
    """The help text of every key of ``config``."""
    found: dict[str, str] = {}
    for one in fields(config):
        value, key = getattr(config, one.name), prefix + one.name
        found |= descriptions(value, f"{key}.") if is_dataclass(value) else {key: one.metadata.get("help", "")}
    return found
