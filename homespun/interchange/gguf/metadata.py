"""Single metadata values of a file, each checked: its type, its bounds, and that it is there.

In: a container and a key. Out: a whole number, a number, a text, a truth value, or a list. Everything else is one line
that names the file and the key.
"""

from typing import Any

import numpy as np

from homespun.interchange.gguf.container import Container
from homespun.interchange.gguf.cursor import damaged
from homespun.interchange.gguf.values import REAL, WHOLE, Kind


def content_at(container: Container, key: str, kinds: Any, what: str, default: Any = None) -> Any:
    """The content of a value of one of ``kinds``; without a default it has to be there."""
    value = container.metadata.get(key)
    if value is None:
        if default is None:
            raise damaged(container.path, f"it lacks {key}")
        return default
    if value.kind not in kinds:
        raise damaged(container.path, f"{key} is not {what}")
    return value.content


def whole_at(container: Container, key: str, largest: int, smallest: int = 1, default: int | None = None) -> int:
    """A whole number within bounds."""
    found = content_at(container, key, WHOLE, "a whole number", default)
    if not smallest <= found <= largest:
        raise damaged(container.path, f"{key} is {found:,}, not within {smallest:,} and {largest:,}")
    return found


def number_at(container: Container, key: str, default: float | None = None) -> float:
    """A finite number; the shortest that is the same in float32, so that 1e-6 comes back as it was."""
    found = content_at(container, key, REAL, "a number", default)
    with np.errstate(over="ignore"):  # of float64, what is too large becomes infinite, and is refused
        single = np.float32(found)
    if not np.isfinite(single):
        raise damaged(container.path, f"{key} is {found}")
    return float(str(single))


def text_at(container: Container, key: str) -> str:
    """A text."""
    return content_at(container, key, (Kind.STRING,), "a text")


def list_at(container: Container, key: str, kinds: Any, what: str) -> tuple[Any, ...]:
    """The values of an array of one of ``kinds``."""
    found = content_at(container, key, (Kind.ARRAY,), what)
    if found.kind not in kinds:
        raise damaged(container.path, f"{key} is not {what}")
    return found.values
