"""Batches made ahead, and batches made in parts by several processes, are the batches that one process makes."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.batches.ahead import BATCHES_AHEAD_PER_WORKER, Ahead, check_workers
from homespun.batches.batch import IGNORED, Batch
from homespun.batches.next_token import NextTokenBatches
from homespun.batches.shards import TokenShards
from homespun.common.errors import UsageError
from tests.batches.test_next_token import shards_of


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    return shards_of(tmp_path_factory.mktemp("shards"), 700, 64)


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)


@settings(deadline=None, max_examples=40)
@given(
    workers=st.integers(0, 4),
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=20)
    | st.integers(0, 30).map(lambda n: [*range(n, n + 12)]),
)
def test_any_workers_give_the_same_batches_in_any_order(shards: TokenShards, workers: int, numbers: list[int]) -> None:
    """Also forwards with leaps, backwards after a rollback, and the same number again."""
    plain = NextTokenBatches(shards, 8, 6, seed=4)
    ahead = Ahead(NextTokenBatches(shards, 8, 6, seed=4).batch, workers)
    for number in numbers:
        assert same(ahead(number), plain.batch(number))
    ahead.close()


class Counting:
    """Makes batches and writes down which, and in which thread."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.threads: set[str] = set()

    def batch(self, number: int) -> Batch:
        self.made.append(number)
        self.threads.add(threading.current_thread().name)
        return Batch(torch.tensor([[number]]), torch.tensor([[number]]))


@pytest.mark.parametrize("workers", [1, 3])
def test_each_is_made_once_by_the_workers_and_only_so_far_ahead(workers: int) -> None:
    counting = Counting()
    ahead = Ahead(counting.batch, workers)
    for number in range(5, 15):
        assert int(ahead(number).inputs) == number
    ahead.close()
    assert sorted(counting.made) == sorted(set(counting.made))
    assert {*range(5, 15)} <= {*counting.made} <= {*range(5, 15 + workers * BATCHES_AHEAD_PER_WORKER)}
    assert threading.current_thread().name not in counting.threads and len(counting.threads) <= workers


def test_without_workers_nothing_is_made_before_it_is_wanted() -> None:
    counting = Counting()
    ahead = Ahead(counting.batch, 0)
    assert [int(ahead(number).inputs) for number in (3, 1, 2)] == counting.made == [3, 1, 2]
    assert counting.threads == {threading.current_thread().name}
    ahead.close()


def test_an_error_comes_out_where_the_batch_is_wanted() -> None:
    def batch(number: int) -> Batch:
        if number == 3:
            raise OSError("the disk is gone")
        return Counting().batch(number)

    ahead = Ahead(batch, 2)
    for number in range(3):
        ahead(number)
    with pytest.raises(OSError, match="the disk is gone"):
        ahead(3)
    ahead.close()


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    ahead = Ahead(Counting().batch, 4)
    ahead(0)
    ahead.close()
    assert threading.active_count() == before


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(1, 4),
    seed=st.integers(0, 2**40),
    number=st.integers(0, 500),
    workers=st.sampled_from([0, 2]),
    context=st.integers(2, 20),
)
def test_the_parts_of_all_processes_are_the_batch(
    shards: TokenShards, rows: int, seed: int, number: int, workers: int, context: int
) -> None:
    """1, 2 and 4 processes with 0 and 2 workers, begun at any number."""
    batch_size = 4 * rows
    whole = NextTokenBatches(shards, context, batch_size, seed).batch(number)
    for processes in (1, 2, 4):
        parts = []
        for rank in range(processes):
            ahead = Ahead(NextTokenBatches(shards, context, batch_size, seed, rank, processes).batch, workers)
            parts.append(ahead(number))
            ahead.close()
        assert {len(part.inputs) for part in parts} == {batch_size // processes}
        together = Batch(*(torch.cat([getattr(p, name) for p in parts]) for name in ("inputs", "targets")))
        assert same(together, whole)


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 9), size=st.integers(1, 5))
def test_shares_of_a_batch_hold_every_target_once(rows: int, size: int) -> None:
    """Of the validation split: as many rows for each process, and what is filled up does not count."""
    numbers = torch.arange(rows * 3).reshape(rows, 3)
    parts = [Batch(numbers, numbers + 100).share(rank, size) for rank in range(size)]
    assert len({part.inputs.shape for part in parts}) == 1
    targets = torch.cat([part.targets for part in parts]).flatten()
    assert torch.equal(targets[targets != IGNORED], (numbers + 100).flatten())
    for part in parts:
        counted = part.targets != IGNORED
        assert torch.equal(part.targets[counted], part.inputs[counted] + 100)


def test_more_workers_than_cores_is_one_clear_line() -> None:
    for workers in (0, 1, 4):
        check_workers(workers, 4)
    with pytest.raises(UsageError) as raised:
        check_workers(5, 4)
    assert str(raised.value) == "training.workers is 5, but there are 4 cores here; set it to 4 or less"
