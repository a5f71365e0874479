"""Texts with places for columns: ``Question: {question}`` and a row in, the question out.

``{{`` and ``}}`` are single braces. Nothing but names of columns stands between braces: no expressions, no formats.
"""

import difflib
import re

from homespun.common.errors import UsageError
from homespun.evaluation.rows import Row

PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def fill(template: str, row: Row, **more: str) -> str:
    """The text of a row; ``more`` are columns that it has besides. ``UsageError`` names what is missing, and where."""

    def value(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None:
            raise UsageError(f"the template {template!r} has a single {match[0]}; write it twice")
        return more[match[1]] if match[1] in more else column(row, match[1])

    return PLACE.sub(value, template)


def places(template: str) -> set[str]:
    """The names between braces."""
    return {match[1] for match in PLACE.finditer(template) if match[1] is not None}


def column(row: Row, name: str) -> str:
    """The text in a column of a row; numbers as they are written."""
    value = cell(row, name)
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        raise UsageError(f"{row.where}: the column {name} holds {str(value)[:40]!r}, not a text")
    return str(value)


def cell(row: Row, name: str) -> object:
    """Whatever is in a column of a row."""
    if name not in row.values:
        near = difflib.get_close_matches(name, row.values, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(row.values) or 'none'}"
        raise UsageError(f"{row.where}: there is no column {name}; {hint}")
    return row.values[name]
