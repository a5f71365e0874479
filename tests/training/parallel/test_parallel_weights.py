"""Several processes are one: the same weights and figures, whatever their number and way of sharing."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from torch.distributed.tensor import DTensor

from homespun.batches.ahead import Ahead
from homespun.batches.batch import IGNORED, Batch
from homespun.batches.next_token import NextTokenBatches
from homespun.training.loop import train_step
from homespun.training.parallel import PARALLEL
from homespun.training.validation import ExactLoss, exact_loss
from homespun.training.world import World
from tests.training.parallel.processes import Processes
from tests.training.parallel.runs import (
    ONE,
    STEPS,
    WAYS,
    assert_equal_weights,
    every_way,
    parts_of,
    told,
    train_until,
    train_whole,
)


@every_way
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_two_processes_have_the_weights_of_one_with_accumulation(
    way: str, optimizer: str, pair: Processes, fresh: Callable[[str], Path], alone: Callable[[str], Path]
) -> None:
    path = fresh("pair")
    assert pair.call(train_whole, path, WAYS[way] | {"training.optimizer": optimizer}) == [True, True]
    assert_equal_weights(path, alone(optimizer, way))
    ours, theirs = told(path), told(alone(optimizer, way))
    assert ours.keys() == theirs.keys() and len(ours) > STEPS // 5
    for key, values in ours.items():
        assert values == pytest.approx(theirs[key], rel=1e-4), key


@pytest.mark.parametrize("way", ["replicated", "sharded", "tensor"])
def test_accumulation_within_each_of_two_processes_changes_nothing(
    way: str, pair: Processes, fresh: Callable[[str], Path], alone: Callable[[str], Path]
) -> None:
    path, shares = fresh("pair"), 1 if way == "tensor" else 2
    pair.call(train_whole, path, WAYS[way] | {"training.micro_batch_size": 4 // shares})
    assert_equal_weights(path, alone("adamw", way))


def test_groups_that_divide_every_block_share_the_rows(
    fresh: Callable[[str], Path], alone: Callable[..., Path]
) -> None:
    """Two groups of two, with micro-batches."""
    path, four = fresh("four"), Processes(4)
    changes = WAYS["tensor"] | {"training.tensor_size": 2, "training.micro_batch_size": 2}
    try:
        assert four.call(train_until, path, changes, 20) == [20] * 4
        assert four.call(train_until, path, changes, STEPS) == [STEPS] * 4
    finally:
        four.kill()
    assert_equal_weights(path, alone("adamw", "tensor"))


def held_by_all(world: World, path: Path, changes: dict[str, Any]) -> dict[str, torch.Tensor]:
    """After a few steps, what this process has of the parameters that are not divided."""
    with ExitStack() as stack:
        run = parts_of(world, path, changes, stack)
        for _ in range(3):
            train_step(run, 1.0)
            run.state.step += 1
        return {
            name: tensor.detach().clone()
            for name, tensor in run.model.named_parameters()
            if not isinstance(tensor, DTensor)
        }


def test_processes_that_divide_blocks_drop_the_same_activations(pair: Processes, fresh: Callable[[str], Path]) -> None:
    first, second = pair.call(held_by_all, fresh("dropped"), WAYS["tensor"] | {"model.dropout": 0.3})
    assert first.keys() == second.keys() and "token_embedding.weight" in first
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


class Tokens:
    """As ``TokenShards``: the numbers from 0 on."""

    def __len__(self) -> int:
        return 1000

    def read(self, start: int, length: int) -> np.ndarray:
        return np.arange(start, start + length)


@given(
    start=strategies.integers(0, 10**6),
    seed=strategies.integers(0, 2**64 - 1),
    processes=strategies.sampled_from([1, 2, 4]),
    workers=strategies.sampled_from([0, 1, 2]),
)
@settings(max_examples=60, deadline=None)
def test_batches_do_not_depend_on_processes_and_workers_wherever_a_run_goes_on(
    start: int, seed: int, processes: int, workers: int
) -> None:
    wanted = NextTokenBatches(Tokens(), 7, 8, seed)
    with ExitStack() as stack:
        shares = []
        for rank in range(processes):
            ahead = Ahead(NextTokenBatches(Tokens(), 7, 8, seed, rank, processes).batch, workers)
            stack.callback(ahead.close)
            shares.append(ahead)
        for number in range(start, start + 4):
            parts = [share(number) for share in shares]
            assert torch.equal(torch.cat([part.inputs for part in parts]), wanted.batch(number).inputs)
            assert torch.equal(torch.cat([part.targets for part in parts]), wanted.batch(number).targets)


def validation_windows(count: int, rows: int) -> list[Batch]:
    """``count`` windows, ``rows`` at once; the last window is half empty."""
    tokens = torch.randint(250, (count, 17), generator=torch.Generator().manual_seed(count))
    tokens[-1, 8:] = IGNORED
    return Batch(tokens[:, :-1].clamp(min=0), tokens[:, 1:]).split(rows)


def validated(world: World, path: Path, changes: dict[str, Any], count: int, rows: int) -> ExactLoss:
    """The exact loss of a new model over ``count`` windows."""
    with ExitStack() as stack:
        run = parts_of(world, path, changes, stack)
        batches = validation_windows(count, rows)
        return exact_loss(run.objective, batches, 100, torch.device("cpu"), "fp32", run.world)


@pytest.mark.parametrize(("count", "rows"), [(1, 4), (5, 2), (7, 4), (8, 4)])
@pytest.mark.parametrize("way", ["replicated", "sharded", "tensor"])
def test_the_exact_loss_is_that_of_one_process_also_where_windows_cannot_be_shared_evenly(
    way: str, count: int, rows: int, pair: Processes, fresh: Callable[[str], Path]
) -> None:
    wanted = validated(ONE, fresh("one"), WAYS[way], count, rows)
    for found in pair.call(validated, fresh("two"), WAYS[way], count, rows):
        assert found.tokens == wanted.tokens == count * 16 - 9
        assert found.loss == pytest.approx(wanted.loss, abs=1e-6)
        assert found.bits_per_byte == pytest.approx(wanted.bits_per_byte, abs=1e-6)


def test_every_way_is_tested() -> None:
    assert {way["training.parallel"] for way in WAYS.values()} == PARALLEL.keys()
