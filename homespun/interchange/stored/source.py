"""What every file of tensors answers, whatever its format."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import torch


class TensorSource(Protocol):
    """Named tensors in one file, or in several."""

    def names(self) -> Collection[str]:
        """Of all tensors, in the order of the file."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """From the header alone."""
        ...

    def type_name(self, name: str) -> str:
        """The number type in the format's own word, such as BF16."""
        ...

    def is_float(self, name: str) -> bool:
        """Whether the numbers are floating-point numbers."""
        ...

    def file(self, name: str) -> Path:
        """Where the tensor stands, for messages."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """The tensor in the type of the file; it may be a view of the mapped file."""
        ...
