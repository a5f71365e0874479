"""The linear layers of a model's blocks, one by one: a model in; owner, name and layer out, so that it can be replaced.

They are those that ``matrices`` of their owners name. Left out are embeddings, norms and heads, which no owner names,
and experts, which multiply by parts of a matrix and not by a layer.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from homespun.layers.experts import Experts


class Place(NamedTuple):
    """``layer`` is ``owner``'s ``name``; ``parts``: rows of the matrices that it is fused of."""

    owner: nn.Module
    name: str
    layer: Any
    parts: tuple[int, ...]


def linears(model: nn.Module) -> Iterator[Place]:
    """In the order of the model; what is found may be replaced at once."""
    for owner in list(model.modules()):
        if isinstance(owner, Experts):
            continue
        for tensor, parts in getattr(owner, "matrices", {}).items():
            name = tensor.removesuffix(".weight")
            if isinstance(layer := getattr(owner, name, None), nn.Module):
                yield Place(owner, name, layer, tuple(parts))
