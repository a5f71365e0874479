"""One model on several processes: replicated, or its weights sharded, or both.

``replicated``  DDP (Li et al. 2020): every process has the whole model; gradients are averaged.
``sharded``     FSDP2 ``fully_shard`` (Zhao et al. 2023): each process keeps a share of weights, gradients and
                moments, and borrows a block's weights while it computes that block.
``hybrid``      sharded within a machine, replicated between machines: the slow wire carries gradients only.

The model does not know; torch.distributed does the work. Alone, nothing is wrapped.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from homespun.common.errors import UsageError
from homespun.layers.equal_part import EqualPart
from homespun.training.world import World


def replicate(objective: nn.Module, world: World, device: torch.device, shard_size: int) -> nn.Module:
    """Every process has all of it; the gradient is a mean over processes."""
    # The only buffers are tables of angles, the same everywhere.
    return DistributedDataParallel(
        objective,
        device_ids=[device.index] if device.type == "cuda" else None,
        forward_sync_buffers=False,
        gradient_as_bucket_view=True,
    )


def shard(objective: nn.Module, world: World, device: torch.device, shard_size: int) -> nn.Module:
    """Each process has a share of everything."""
    return shard_over(objective, init_device_mesh(device.type, (world.size,), mesh_dim_names=("shard",)))


def shard_within(objective: nn.Module, world: World, device: torch.device, shard_size: int) -> nn.Module:
    """Groups of ``shard_size`` processes have a share of everything each; the groups are copies of one another."""
    if world.size % shard_size:
        raise UsageError(f"training.shard_size {shard_size} does not divide the {world.size} processes of this run")
    groups = (world.size // shard_size, shard_size)
    return shard_over(objective, init_device_mesh(device.type, groups, mesh_dim_names=("replicate", "shard")))


def shard_over(objective: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Each block is gathered by itself, then what is left: embeddings, last normalization, head."""
    for module in objective.modules():
        if isinstance(module, EqualPart):
            fully_shard(module, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    return objective


PARALLEL: dict[str, Callable[[nn.Module, World, torch.device, int], nn.Module]] = {
    "replicated": replicate,
    "sharded": shard,
    "hybrid": shard_within,
}


def check_batch(batch_size: int, world: World) -> None:
    """The batch is the same whatever the number of processes, so they must divide it."""
    if batch_size % world.size:
        fitting = max(size for size in range(1, world.size) if batch_size % size == 0)
        raise UsageError(
            f"training.batch_size {batch_size} cannot be divided among {world.size} processes; "
            f"start {fitting} or make it a multiple of {world.size}"
        )
