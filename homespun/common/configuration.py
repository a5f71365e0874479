"""Nested frozen dataclasses as flat dotted keys, and back: the one form that all configuration has.

``model.width`` is the field ``width`` of the field ``model``, and so on downwards. The command line, TOML files, the
plan and the record in a run folder all speak in these keys.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from homespun.common.errors import UsageError
from homespun.common.files import explain_os_error

C = TypeVar("C")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """``{"model.width": 256, …}`` of a nested dataclass, in the order of its fields."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f"{prefix}{field.name}.")
        else:
            flat[prefix + field.name] = value
    return flat


def replace_values(config: C, changes: dict[str, Any]) -> C:
    """A copy of ``config`` with dotted keys changed; a section is checked as a whole after all its changes."""
    sections: dict[str, dict[str, Any]] = {}
    replaced: dict[str, Any] = {}
    for key, value in changes.items():
        section, dot, name = key.partition(".")
        if dot:
            sections.setdefault(section, {})[name] = value
        else:
            replaced[section] = value
    replaced |= {section: replace_values(getattr(config, section), values) for section, values in sections.items()}
    return dataclasses.replace(config, **replaced)  # pyrefly: ignore


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys as TOML tables, and tables in tables."""
    tables: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        table = tables
        for section in sections:
            table = table.setdefault(section, {})
        table[name] = list(value) if isinstance(value, tuple) else value
    return tables


def leaves(tables: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The inverse: dotted keys and their values."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def refuse_unknown(key: str, known: list[str], where: str, see: str = "homespun config show") -> UsageError:
    """One line for a key that does not exist, with the nearest one that does, or where to ``see`` them all."""
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"see: {see}"
    return UsageError(f"{where}: unknown key {key}; {hint}")


def read_toml(path: Path, known: list[str], see: str = "homespun config show") -> dict[str, Any]:
    """Dotted keys and values of a TOML file whose every key must be ``known``."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(str(explain_os_error(error, "cannot read the configuration"))) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    flat = dict(leaves(tables))
    for key in flat:
        if key not in known:
            raise refuse_unknown(key, known, str(path), see)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in flat.items()}
