"""One model on several processes: replicated, or its weights sharded, or both; or every block divided.

``replicated``  DDP (Li et al. 2020): every process has the whole model; gradients are averaged.
``sharded``     FSDP2 ``fully_shard`` (Zhao et al. 2023): each process keeps a share of weights, gradients and
                moments, and borrows a block's weights while it computes that block.
``hybrid``      sharded within a machine, replicated between machines: the slow wire carries gradients only.
``tensor``      every process computes its part of each block, for the same rows (``homespun.training.division``); of
                several such groups each has rows of its own, and gradients are averaged between them.

The model does not know; torch.distributed does the work. Alone, nothing is wrapped.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from homespun.common.errors import UsageError
from homespun.layers.equal_part import EqualPart
from homespun.models.settings import ModelConfig
from homespun.training.division import divide_blocks
from homespun.training.settings import TrainingConfig
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


def divide(objective: nn.Module, world: World, device: torch.device, shard_size: int) -> nn.Module:
    """Each process of a group has a part of every block; the groups are copies of one another."""
    assert world.mesh is not None
    divide_blocks(objective, world.mesh["tensor"])
    return shard_over(objective, world.mesh["data", "shard"]) if world.shares > 1 else objective


PARALLEL: dict[str, Callable[[nn.Module, World, torch.device, int], nn.Module]] = {
    "replicated": replicate,
    "sharded": shard,
    "hybrid": shard_within,
    "tensor": divide,
}


def arrange(world: World, training: TrainingConfig, device: torch.device) -> World:
    """The processes in groups, where those of a group divide every block; all must call it."""
    if world.size == 1 or training.parallel != "tensor":
        return world
    parts = training.parts_of_block(world.size)
    # Hybrid sharding with nobody to share with is what averages gradients between the groups.
    sizes = (world.size // parts, 1, parts)
    return replace(world, mesh=init_device_mesh(device.type, sizes, mesh_dim_names=("data", "shard", "tensor")))


def check_blocks(model: ModelConfig, training: TrainingConfig, world: World) -> None:
    """``UsageError`` if the processes cannot divide the blocks of the model among themselves."""
    parts = training.parts_of_block(world.size)
    if world.size % parts:
        raise UsageError(f"training.tensor_size {parts} does not divide the {world.size} processes of this run")
    if reason := model.why_not_divided(parts):
        raise UsageError(f"training.parallel is tensor, but {reason}; take another way, such as sharded")


def check_batch(training: TrainingConfig, world: World) -> None:
    """The batch is the same whatever the number of processes, so they, or their groups, must divide it."""
    parts = training.parts_of_block(world.size)
    shares, batch_size = world.size // parts, training.batch_size
    if batch_size % shares:
        fitting = max(size for size in range(1, shares) if batch_size % size == 0)
        raise UsageError(
            f"training.batch_size {batch_size} cannot be divided among {shares} "
            f"{f'groups of {parts} ' if parts > 1 else ''}processes; "
            f"start {fitting * parts} or make it a multiple of {shares}"
        )
