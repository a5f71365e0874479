"""Values of a ``config.json``, asked for one by one: what is missing, of the wrong type or not to be had is one line.

In: the JSON. Out: numbers, flags, words. Keys that nobody asks for have no effect on the model that its library would
build, so they have none here; keys that have one must be asked for with ``demand``, so that a value that homespun
does not compute is refused by its name.
"""

import json
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.tokenizer.formats.reading import json_of, read_bytes, shorten

MISSING = object()
LARGEST_SIZE = 1 << 40  # a larger one is no size of a model, and the product of two must stay countable
MOST_LAYERS = 10_000
LONGEST_CONTEXT = 1 << 24
LARGEST_NUMBER = 10**300  # JSON has whole numbers that no float can hold, and NaN as Python reads it


class ConfigFile:
    """``path`` is for messages only."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values

    @classmethod
    def load(cls, path: Path) -> "ConfigFile":
        """Read the file; it must be a JSON object."""
        value = json_of(path, read_bytes(path))
        if not isinstance(value, dict):
            raise DamagedFileError(f"{path} is damaged (not a JSON object); get it again")
        return cls(path, value)

    def whole(self, key: str, default: Any = MISSING, most: int = LARGEST_SIZE) -> int:
        """A whole number, at least 1 and at most ``most``."""
        value = self.get(key, default)
        if type(value) is not int or not 1 <= value <= most:
            raise self.wrong(key, f"a whole number from 1 to {most:,}")
        return value

    def number(self, key: str, default: Any = MISSING) -> float:
        """Any finite number."""
        value = self.get(key, default)
        if not is_number(value):
            raise self.wrong(key, "a number")
        return float(value)

    def flag(self, key: str, default: Any = MISSING) -> bool:
        """True or false."""
        value = self.get(key, default)
        if type(value) is not bool:
            raise self.wrong(key, "true or false")
        return value

    def get(self, key: str, default: Any = MISSING) -> Any:
        """The value, or the default where the key is missing; null counts as missing."""
        value = self.values.get(key)
        if value is not None:
            return value
        if default is MISSING:
            raise DamagedFileError(f"{self.path} lacks {key}; get it again")
        return default

    def demand(self, key: str, *known: Any, default: Any) -> None:
        """Refuse the file unless ``key`` has one of the values that homespun computes."""
        value = self.get(key, default)
        if not any(value == one and type(value) is type(one) for one in known):
            raise self.refuse(key, value, "only " + " or ".join(json.dumps(one) for one in known))

    def refuse(self, key: str, value: Any, computes: str) -> HomespunError:
        """The error for a model that homespun cannot compute."""
        return HomespunError(f"{self.path}: {key} is {shorten(value)}; homespun computes {computes}")

    def wrong(self, key: str, what: str) -> HomespunError:
        """The error for a value of the wrong type."""
        return DamagedFileError(f"{self.path}: {key} is {shorten(self.values.get(key))}; it must be {what}")


def is_number(value: Any) -> bool:
    """Whether it is one, finite, and no larger than a float can be."""
    return type(value) in (int, float) and abs(value) <= LARGEST_NUMBER
