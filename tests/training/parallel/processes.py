"""Several processes of one gloo world for the tests: functions go in by name, what each process returned comes out.

The processes are forked from one that has PyTorch loaded already and live as long as their ``Processes``, so that
twenty tests do not wait twenty times for an import.
"""

import datetime
import multiprocessing
import multiprocessing.connection
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed

from homespun.training.world import World

LOST_AFTER = datetime.timedelta(seconds=60)  # a process that waits so long for another has lost it
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["homespun.pipeline.train_stage"])


class Processes:
    """``size`` processes. ``call`` gives each of them ``function(world, *arguments)`` to do, all at once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.meeting_point = tempfile.TemporaryDirectory()
        self.pipes: list[multiprocessing.connection.Connection] = []
        self.processes = []
        for rank in range(size):
            ours, theirs = CONTEXT.Pipe()
            store = Path(self.meeting_point.name) / "store"
            process = CONTEXT.Process(target=serve, args=(World(rank, size, rank), store, theirs), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def begin(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Let all of them start; ``results`` waits for them."""
        for pipe in self.pipes:
            pipe.send((function, arguments))

    def results(self) -> list[Any]:
        """What each process returned, by rank; AssertionError with their traces if one failed."""
        answers = [pipe.recv() for pipe in self.pipes]
        traces = [answer for done, answer in answers if not done]
        if traces:
            raise AssertionError("\n".join(traces))
        return [answer for _, answer in answers]

    def call(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Start and wait."""
        self.begin(function, *arguments)
        return self.results()

    def kill(self) -> None:
        """SIGKILL to all of them."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
        self.meeting_point.cleanup()


def serve(world: World, store: Path, pipe: multiprocessing.connection.Connection) -> None:
    """A process: meet the others, then do what comes through the pipe."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=world.rank, world_size=world.size, timeout=LOST_AFTER
    )
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, function(world, *arguments)))
        except BaseException:
            pipe.send((False, f"process {world.rank}:\n{traceback.format_exc()}"))
