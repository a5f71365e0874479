"""The shapes of recurrent language models: what a user can write under ``[model]`` for ``lstm``."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from homespun.models.settings.base import TextModelConfig


@dataclass(frozen=True)
class LSTMConfig(TextModelConfig):
    """Layers of long short-term memory on top of each other."""

    endless: ClassVar[bool] = True

    architecture: Literal["lstm"] = field(default="lstm", metadata={"help": "which model of the registry"})
    layers: int = field(default=2, metadata={"help": "recurrent layers"})

    def cached_numbers(self) -> int:
        """The state and the memory of each layer, for a text of any length."""
        return 2 * self.layers * self.width
