"""Kinds of models by what they read: what makes their inputs has to go with their weights, and is compared like them.

In: ``ModelConfig.reads``. Out: a ``Kind``, the functions for it. To add one: a file, a line here.
"""

from homespun.interchange.kinds.images import IMAGES
from homespun.interchange.kinds.kind import Kind
from homespun.interchange.kinds.labelled import LABELLED
from homespun.interchange.kinds.text import TEXT

KINDS: dict[str, Kind] = {"text": TEXT, "images": IMAGES, "labelled texts": LABELLED}

__all__ = ["KINDS", "Kind"]
