"""Batches made before they are asked for: ``batch(number)`` in, the same function out, but sooner.

Threads read the memory map and put the next batches together while the model computes. A batch is a
function of its number alone, so the result does not depend on how many threads there are.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from homespun.batches.batch import Batch
from homespun.common.errors import UsageError

BATCHES_AHEAD_PER_WORKER = 2


class Ahead:
    """``ahead(number)``, best called with consecutive numbers. ``workers`` 0: made when asked for."""

    def __init__(self, batch: Callable[[int], Batch], workers: int) -> None:
        self.batch = batch
        self.pool = ThreadPoolExecutor(workers, "batches") if workers else None
        self.depth = workers * BATCHES_AHEAD_PER_WORKER
        self.waiting: dict[int, Future[Batch]] = {}

    def __call__(self, number: int) -> Batch:
        if self.pool is None:
            return self.batch(number)
        wanted = range(number, number + 1 + self.depth)
        self.waiting = {other: future for other, future in self.waiting.items() if other in wanted}
        for other in wanted:
            if other not in self.waiting:
                self.waiting[other] = self.pool.submit(self.batch, other)
        return self.waiting.pop(number).result()

    def close(self) -> None:
        """Let go of the threads; what they are making is thrown away."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def check_workers(workers: int, cores: int) -> None:
    """More threads than cores would only take turns."""
    if workers > cores:
        raise UsageError(f"training.workers is {workers}, but there are {cores} cores here; set it to {cores} or less")
