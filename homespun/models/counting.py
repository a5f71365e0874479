"""The parameters of any model, counted by building it without memory for its numbers (PyTorch's meta device).

``homespun.models.arithmetic`` has closed forms for decoders, which need no torch; all others are counted here.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

import torch

from homespun.layers.quantized import QuantizedMatrix
from homespun.models.packed import Packed
from homespun.models.registry import build_model
from homespun.models.settings import ModelConfig


@dataclass(frozen=True)
class Count:
    """``parameters`` in all, of which so many are ``trained``.

    ``matrices``: of those that a token is multiplied by, embeddings and head left out.

    ``largest_stack``: numbers in all matrices of the shape that has most, and that shape. ``packed``: what of them is
    held in few bits.
    """

    parameters: int
    trained: int
    matrices: int
    largest_stack: int
    stacked_shape: tuple[int, int]
    packed: Packed


@cache
def count(config: ModelConfig) -> Count:
    """Of the model that ``config`` describes."""
    with torch.device("meta"):
        model = build_model(config)
    shapes: Counter[tuple[int, int]] = Counter()
    for module in model.modules():
        for name, parts in getattr(module, "matrices", {}).items():
            columns = attrgetter(name)(module).shape[1:].numel()
            shapes.update((min(rows, columns), max(rows, columns)) for rows in parts)
    stacks = {shape: number * shape[0] * shape[1] for shape, number in shapes.items()} or {(1, 1): 0}
    largest = max(stacks, key=lambda shape: stacks[shape])
    parameters = list(model.parameters())
    quantized = [module for module in model.modules() if isinstance(module, QuantizedMatrix)]
    sizes = [matrix.shape.numel() for matrix in quantized]
    held = sum(tensor.nbytes for matrix in quantized for tensor in matrix.packed)
    packed = Packed(sum(sizes), held, max(sizes, default=0))
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    in_all = sum(parameter.numel() for parameter in parameters) + packed.numbers
    return Count(in_all, trained, sum(stacks.values()), stacks[largest], largest, packed)
