"""Layers of configuration: defaults, ``--preset NAME``, ``--config FILE.toml``, ``--section.key value``.

Every layer is written in the same dotted keys. Which layer a value came from is remembered, so that
the plan changes only what nobody has set, and ``homespun config show`` can tell.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from cyclopts import App, ArgumentCollection, Parameter, Token

from homespun.common.configuration import flatten, read_toml
from homespun.models.presets import preset
from homespun.pipeline.configuration import Choices, Options, configure, known_keys

COMMAND_LINE = "command line"
# The configuration as a command's parameter: every key is an option of its own.
ConfigurationOptions = Annotated[Options, Parameter(name="*")]
ConfigFile = Annotated[Path | None, Parameter(name="--config", help="TOML file with [section] key = value")]
Preset = Annotated[str | None, Parameter(name="--preset", help="a published shape: gpt2, gpt3-175b, qwen3-0.6b …")]

origins: dict[str, str] = {}


def layer_configuration(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Called by cyclopts between reading the command line and making values of it."""
    origins.clear()
    options = {argument.name: argument for argument in arguments}
    keys = {option_of(key): key for key in flatten(Options())}
    given: dict[str, tuple[Any, str]] = {}
    if "--preset" in options and (tokens := options["--preset"].tokens):
        name = tokens[0].value
        given = {f"model.{setting}": (value, f"preset {name}") for setting, value in preset(name).items()}
    if tokens := options["--config"].tokens:
        file = tokens[0].value
        given |= {key: (value, file) for key, value in read_toml(Path(file), known_keys()).items()}
    for option, key in keys.items():
        if option not in options:
            continue
        if options[option].has_tokens:
            origins[key] = COMMAND_LINE
        elif key in given:
            value, origins[key] = given[key]
            for index, part in enumerate(value if isinstance(value, tuple) else (value,)):
                options[option].append(Token(keyword=option, value=str(part), source=origins[key], index=index))


def option_of(key: str) -> str:
    """``training.batch_size`` is ``--training.batch-size`` on the command line (``_`` is understood too)."""
    return "--" + key.replace("_", "-")


def choices_of(options: Options, more: Mapping[str, tuple[Any, str]] = MappingProxyType({})) -> Choices:
    """The configuration that this command line made, with the origin of each value.

    ``more``: values, with their origins, that a command has from elsewhere; they are worth more than the others.
    """
    given = flatten(options)
    config = configure({key: given[key] for key in origins} | {key: value for key, (value, _) in more.items()})
    told = origins | {key: origin for key, (_, origin) in more.items()}
    return Choices(config, dict.fromkeys(flatten(config), "default") | told)
