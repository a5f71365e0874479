"""Batches of rows of about the same length, so that little is filled up.

In: any ``Rows``, such as pairs of texts or texts with labels. Out: batches by number, and all rows once. Which rows
make batch number n is a pure function of the seed and n. The endless row of epochs, each a permutation of all rows, is
cut into pools of some batches; a pool is sorted by length, cut into batches, and its batches come in an order of their
own.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import numpy as np

from homespun.batches.batch import Batch
from homespun.batches.order import key_of, permute, places_in_epochs

BATCHES_IN_POOL = 64
POOLS_KEPT = 4
ORDERS_OF_POOLS = 1 << 63  # beyond the number of any epoch: the keys of pools are others


class Rows(Protocol):
    """Some rows, by number."""

    def __len__(self) -> int: ...

    def by_length(self, numbers: np.ndarray) -> np.ndarray:
        """The same numbers, the shortest rows first; equally long ones stay in their order."""
        ...

    def batch(self, numbers: np.ndarray) -> Batch:
        """These rows, filled up to the longest of them."""
        ...


class LikeLengthBatches:
    """Random access to training batches: ``batch(n)`` for any n, in constant time."""

    def __init__(
        self, rows: Rows, batch_size: int, seed: int, rank: int = 0, processes: int = 1, most: int = BATCHES_IN_POOL
    ) -> None:
        """``batch_size`` B rows; this process makes every so manyth of them, so that all have rows of like length.

        ``most``: batches in a pool.
        """
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.rank, self.processes = rank, processes
        self.windows = len(rows)
        # Not more than an epoch, or the same row would lie beside itself when the pool is sorted.
        self.batches_in_pool = max(1, min(most, len(rows) // batch_size))
        self.sorted_pool = lru_cache(POOLS_KEPT)(self.make_pool)

    def make_pool(self, pool: int) -> np.ndarray:
        """The rows of a pool, sorted by length."""
        size = self.batches_in_pool * self.batch_size
        numbers = np.arange(pool * size, (pool + 1) * size, dtype=np.int64)
        return self.rows.by_length(places_in_epochs(numbers, self.windows, self.seed))

    def numbers(self, number: int) -> np.ndarray:
        """Which rows make batch ``number`` (from 0), of all processes together."""
        pool, place = divmod(number, self.batches_in_pool)
        key = key_of(self.seed, ORDERS_OF_POOLS + pool)
        first = int(permute(np.array([place]), self.batches_in_pool, key)[0]) * self.batch_size
        return self.sorted_pool(pool)[first : first + self.batch_size]

    def batch(self, number: int) -> Batch:
        """Batch ``number`` (from 0), or this process's rows of it."""
        return self.rows.batch(self.numbers(number)[self.rank :: self.processes])


def every_row(rows: Rows, at_once: int) -> Iterator[Batch]:
    """All of them once, so many at a time, the shortest first."""
    order = rows.by_length(np.arange(len(rows)))
    for begin in range(0, len(order), at_once):
        yield rows.batch(order[begin : begin + at_once])
