"""Every block divided among processes: tensor parallelism (Shoeybi et al. 2019, "Megatron-LM", section 3).

In: a model that every process has whole. Out: the same model, its names and shapes unchanged (DTensor), of whose
matrices each process holds a part and computes with nothing else.

A layer says in ``divided`` what can be divided of its parts. ``outputs``: each process finds some of the hidden
channels (whole heads of attention), from the whole of what goes in. ``inputs``: each takes the hidden channels that it
has, and what all of them find is added up: the one message of a layer on the way forward. On the way back there is one,
too, where ``outputs`` begin. ``between`` the two the same gains serve all heads, so that their gradients are sums over
the processes. All else (embeddings, head, normalizations, the residual stream) every process has whole and the same,
and so it finds the same gradients.

A matrix that is fused of several is divided part by part, which must be equal: queries, keys and values of as many
heads. Dropout within a layer draws the same numbers in each process, for other heads.

Shapes: C width, F hidden channels of all N processes, G = F / N of one of them.
"""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard
from torch.distributed.tensor.placement_types import _StridedShard

from homespun.layers.attention import SelfAttention
from homespun.training.sharding import local, placed_on


def divide_blocks(model: nn.Module, mesh: DeviceMesh) -> None:
    """Leave to each process of ``mesh`` its part of every layer of ``model``, in place."""
    for module in list(model.modules()):
        for name, what in getattr(module, "divided", {}).items():
            fused = len(getattr(module, "matrices", {}).get(f"{name}.weight", (0,)))
            DIVISIONS[what](module.get_submodule(name), fused, mesh)
        if isinstance(module, SelfAttention):
            queries, keys, values = (heads // mesh.size() for heads in module.split)
            module.split = (queries, keys, values)


def divide_outputs(layer: nn.Module, fused: int, mesh: DeviceMesh) -> None:
    """A linear layer (…, C) -> (…, G) from rows of its matrices, an embedding (…) -> (…, G) from columns."""
    if isinstance(layer, nn.Embedding):
        spread(layer, "weight", mesh, Shard(1))
        layer.forward = partial(embed, layer)  # type: ignore[method-assign]
        return
    rows = _StridedShard(0, split_factor=fused) if fused > 1 else Shard(0)
    for name, _ in list(layer.named_parameters()):
        spread(layer, name, mesh, rows)
    layer.forward = partial(widen, layer, mesh)  # type: ignore[method-assign]


def divide_inputs(layer: nn.Module, fused: int, mesh: DeviceMesh) -> None:
    """A linear layer (…, G) -> (…, C) from columns of its matrix; the bias is added once, to the sum."""
    spread(layer, "weight", mesh, Shard(1))
    layer.forward = partial(narrow, layer, mesh)  # type: ignore[method-assign]


def divide_between(layer: nn.Module, fused: int, mesh: DeviceMesh) -> None:
    """A layer that treats all heads alike: it stays whole, but what it learns comes from all processes."""
    layer.forward = partial(treat, copy.copy(layer), mesh)  # type: ignore[method-assign]


DIVISIONS: dict[str, Callable[[nn.Module, int, DeviceMesh], None]] = {
    "outputs": divide_outputs,
    "inputs": divide_inputs,
    "between": divide_between,
}


def spread(layer: nn.Module, name: str, mesh: DeviceMesh, placement: Placement) -> None:
    """Put a parameter's own part in its place."""
    parameter = layer.get_parameter(name)
    part = placed_on(parameter.detach(), mesh, (placement,))
    layer.register_parameter(name, nn.Parameter(part, requires_grad=parameter.requires_grad))


def embed(layer: nn.Embedding, tokens: torch.Tensor) -> torch.Tensor:
    """Token ids (…) -> (…, G)."""
    return nn.functional.embedding(tokens, local(layer.weight))


def widen(layer: nn.Linear, mesh: DeviceMesh, x: torch.Tensor) -> torch.Tensor:
    """(…, C), the same in all processes -> (…, G)."""
    bias = None if layer.bias is None else local(layer.bias)
    return nn.functional.linear(used_by_all(x, mesh), local(layer.weight), bias)


def narrow(layer: nn.Linear, mesh: DeviceMesh, x: torch.Tensor) -> torch.Tensor:
    """(…, G) -> (…, C), the same in all processes."""
    found = added_up(nn.functional.linear(x, local(layer.weight)), mesh)
    return found if layer.bias is None else found + layer.bias


def treat(layer: nn.Module, mesh: DeviceMesh, x: torch.Tensor) -> torch.Tensor:
    """(…, H / N, D) -> the same. ``layer`` shares its parameters with the one that it stands for, not its forward."""
    gains = {name: used_by_all(parameter, mesh) for name, parameter in layer.named_parameters()}
    return torch.func.functional_call(layer, gains, (x,))


def used_by_all(tensor: torch.Tensor, mesh: DeviceMesh) -> torch.Tensor:
    """The same tensor; its gradient is the sum of what the processes find."""
    return DTensor.from_local(tensor, mesh, [Replicate()]).to_local(grad_placements=[Partial()])


def added_up(tensor: torch.Tensor, mesh: DeviceMesh) -> torch.Tensor:
    """The sum of what the processes have found; the gradient is the same for all of them."""
    return DTensor.from_local(tensor, mesh, [Partial()]).redistribute(placements=[Replicate()]).to_local()
