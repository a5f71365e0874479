"""The names of classes in ``config.json``: ``id2label``, by number, and ``label2id``, the other way round."""

from collections.abc import Sequence
from typing import Any

from homespun.images.read import MOST_CLASSES
from homespun.interchange.huggingface.config_file import ConfigFile

UNNAMED = "LABEL_{}"  # the library's name of a class that has none


def read_labels(config: ConfigFile) -> tuple[str, ...]:
    """The classes' names, which the file numbers; without them there are as many as ``num_labels``, in doubt two."""
    if config.get("id2label", None) is None:
        return unnamed(config.whole("num_labels", 2, most=MOST_CLASSES))
    named = config.get("id2label")
    count = len(named) if isinstance(named, dict) else 0
    found = (named.get(str(number)) for number in range(count))
    labels = tuple(label for label in found if isinstance(label, str) and label.isprintable())
    if not labels or len(labels) < count:
        raise config.wrong("id2label", "a printable name for each class, numbered from 0 without a gap")
    return labels


def unnamed(classes: int) -> tuple[str, ...]:
    """What the library calls so many classes that nobody has named."""
    return tuple(UNNAMED.format(number) for number in range(classes))


def write_labels(labels: Sequence[str]) -> dict[str, Any]:
    """Both tables."""
    return {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
