"""What lies in a folder beside weights and settings, by what a model reads: its tokenizer, or how its images are made.

In: ``ModelConfig.reads``. Out: a ``Companion``, the functions for it. To add one: a file, a line here.
"""

from homespun.interchange.huggingface.companions.companion import Companion
from homespun.interchange.huggingface.companions.images import IMAGES
from homespun.interchange.huggingface.companions.labelled import LABELLED
from homespun.interchange.huggingface.companions.text import TEXT

COMPANIONS: dict[str, Companion] = {"text": TEXT, "images": IMAGES, "labelled texts": LABELLED}

__all__ = ["COMPANIONS", "Companion"]
