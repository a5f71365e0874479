"""Careful look-ups in JSON that may be absent, unfinished or of another version.

In goes whatever a JSON file held; out comes a value of the type asked for, or ``None`` (or an empty container).
A report is written at any stage of a run, so a missing key is a normal answer here and never an error.
"""

import math
from collections.abc import Mapping
from typing import Any

LARGEST = 1e100  # beyond this a number is a fault of the run, and differences of two would overflow


def find(value: Any, *keys: str) -> Any:
    """The value at ``keys``, going down one mapping per key; ``None`` where the way ends early."""
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def as_number(value: Any) -> float | None:
    """``value`` as a finite float; ``None`` for anything else (text, booleans, NaN, infinity, absurd sizes)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def number(value: Any, *keys: str) -> float | None:
    """The finite number at ``keys``, or ``None``."""
    return as_number(find(value, *keys))


def first_number(value: Any, *names: str) -> float | None:
    """The first of several keys (at one level) that holds a finite number: for keys with more than one usual name."""
    return next((found for name in names if (found := number(value, name)) is not None), None)


def text(value: Any, *keys: str) -> str | None:
    """The text at ``keys``, or ``None`` (also for empty text)."""
    found = find(value, *keys)
    return found if isinstance(found, str) and found else None


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """The mapping at ``keys``, or an empty one; its keys are text."""
    found = find(value, *keys)
    return {str(key): item for key, item in found.items()} if isinstance(found, Mapping) else {}


def sequence(value: Any, *keys: str) -> list[Any]:
    """The list at ``keys``, or an empty one."""
    found = find(value, *keys)
    return list(found) if isinstance(found, list | tuple) else []


def numbers(value: Any, *keys: str) -> dict[str, float]:
    """Those entries of the mapping at ``keys`` that are finite numbers."""
    entries = mapping(value, *keys)
    return {key: found for key, item in entries.items() if (found := as_number(item)) is not None}
