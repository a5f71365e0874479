"""The mark of layers that walk through time, and how the kernel of that walk is exchanged, as that of attention is.

``explicit`` goes position by position, as the formula does; ``fused`` is PyTorch's kernel, or larger products. Both
give the same values and gradients (tested); which one is faster depends on the machine and the type.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn


class Recurrent(nn.Module):
    """A layer whose walk through time is ``recur``, one of its ``kernels``."""

    kernels: ClassVar[dict[str, Callable[..., Any]]]
    recur: Callable[..., Any]


def use_recurrence(model: nn.Module, name: str) -> None:
    """Every recurrent layer of the model works by its kernel ``name`` from now on."""
    for module in model.modules():
        if isinstance(module, Recurrent):
            module.recur = module.kernels[name]
