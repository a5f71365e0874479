"""Tensors that are spread over processes (DTensor), taken together and spread again.

A checkpoint holds whole tensors under the names of the model, so that any number of processes can
read it; these two functions are the way in and out. Without several processes they return what they are given.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, distribute_tensor

from homespun.models.registry import build_model
from homespun.models.stored import stored_tensors
from homespun.training.world import World


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor; changes of it are changes of the tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def spread_alike(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The tensors in groups: one operation takes only such as are spread over the same processes."""
    groups: dict[object, list[torch.Tensor]] = defaultdict(list)
    for tensor in tensors:
        groups[tensor.device_mesh if isinstance(tensor, DTensor) else None].append(tensor)
    return list(groups.values())


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor; every process must ask for it, in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed_like(tensor: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """A whole ``tensor``, which every process has, spread as ``reference`` is; what is spread already stays so."""
    tensor = tensor.to(reference.device)
    if not isinstance(reference, DTensor) or isinstance(tensor, DTensor):
        return tensor
    return placed_on(tensor, reference.device_mesh, reference.placements)


def placed_on(tensor: torch.Tensor, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> DTensor:
    """A whole ``tensor``, which every process has, spread over ``mesh``."""
    # Each process cuts its own part: no data needs to be sent.
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


@torch.no_grad()
def gathered(model: nn.Module, world: World) -> nn.Module | None:
    """A model that this process can use by itself: the same, or where it is sharded a whole copy for the first process.

    Every process must ask for it; the others get None.
    """
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return model if world.is_first else None
    copy = build_model(model.config) if world.is_first else None  # type: ignore[arg-type]
    own = stored_tensors(copy) if copy is not None else {}
    for name, part in stored_tensors(model).items():
        tensor = whole(part)
        if copy is not None:
            own[name].copy_(tensor)
    return copy
