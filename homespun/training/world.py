"""The processes that train one model together: who this one is, and how they agree.

Started alone there is one process, and every call here returns at once. Started by ``torchrun`` (or
SLURM with torchrun's variables set) each process finds its place in the environment variables RANK, WORLD_SIZE and
LOCAL_RANK. torch.distributed carries the messages: NCCL between GPUs, gloo between processors.
"""

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch.distributed.device_mesh import DeviceMesh

from homespun.common.errors import HomespunError, UsageError

PATIENCE = datetime.timedelta(minutes=30)  # with another process that is silent between steps
PATIENCE_WITH_THE_FIRST = datetime.timedelta(hours=12)  # which reads, cleans and encodes the text for all


@dataclass(frozen=True)
class World:
    """``rank`` of ``size`` processes; ``local_rank`` on this machine.

    ``mesh``: where processes divide every block, their groups ("data") and their places in a group ("tensor").
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    patient: distributed.ProcessGroup | None = None
    mesh: DeviceMesh | None = None

    @property
    def is_first(self) -> bool:
        """The process that writes files and talks."""
        return self.rank == 0

    @property
    def shares(self) -> int:
        """Into how many shares the rows of a batch are divided: one for each process, or for each group."""
        return self.size if self.mesh is None else self.mesh.size(0)

    @property
    def share(self) -> int:
        """Which of them this process has."""
        return self.rank if self.mesh is None else self.mesh.get_local_rank("data")

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over the shares, in place."""
        if self.shares > 1:
            distributed.all_reduce(values, group=None if self.mesh is None else self.mesh.get_group("data"))
        return values

    def largest(self, values: list[int]) -> list[int]:
        """The largest of each number over all processes."""
        if self.size == 1:
            return values
        found = torch.tensor(values, dtype=torch.int64)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return found.tolist()

    def wait(self) -> None:
        """Until all processes are here, hours if need be."""
        if self.size > 1:
            distributed.barrier(self.patient)


def world_size_asked() -> int:
    """How many processes the launcher says there are; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank_asked() -> int:
    """Which of them this one is, 0 without a launcher."""
    return int(os.environ.get("RANK", "0"))


def processes_here() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def started_again() -> bool:
    """Whether the launcher has restarted the processes after one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def meeting_place() -> tuple[distributed.Store, int, int]:
    """Where the processes leave their addresses for each other; the rank of this one, and how many there are."""
    try:
        store, rank, size = next(distributed.rendezvous("env://", timeout=PATIENCE))
    except ValueError as error:
        raise UsageError(f"WORLD_SIZE is set, but {error}; start several processes with torchrun") from error
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # torchrun keeps this store over restarts, and with it the addresses of processes that have died: without a
        # part of its own for each start, the new ones wait for them (PyTorch 2.13: 2 of 2 restarts hung).
        store = distributed.PrefixStore(f"start-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    return store, rank, size


@contextmanager
def join_world(device: str = "auto") -> Iterator[World]:
    """Meet the other processes of this run and part from them at the end; alone there is nothing to do."""
    if world_size_asked() == 1:
        yield World()
        return
    on_gpus = torch.cuda.is_available() and not device.startswith("cpu")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpus:
        torch.cuda.set_device(local_rank)
    store, rank, size = meeting_place()
    # What few numbers the processes agree on between steps goes over gloo also on GPUs, where it waits for no kernel.
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    patient = distributed.new_group(backend="gloo", timeout=PATIENCE_WITH_THE_FIRST)
    world = World(rank, size, local_rank, patient)  # pyrefly: ignore
    try:
        yield world
        world.wait()  # who leaves first would tear the connection from under the others
    except RuntimeError as error:  # gloo has no class of its own for it
        if "gloo/transport" not in str(error) and not isinstance(error, distributed.DistError):
            raise
        raise HomespunError(
            f"process {rank} of {size} has lost the others: one of them ended; what it said stands above or in its log"
        ) from error
    finally:
        distributed.destroy_process_group()
