"""Checkpoints belong to no number of processes and no way of sharing; killed, several go on to the same bytes."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.training.loop import train
from homespun.training.validation import ExactLoss
from homespun.training.world import World
from tests.training.parallel.processes import Processes
from tests.training.parallel.runs import (
    ONE,
    STEPS,
    WAYS,
    assert_equal_weights,
    every_way,
    parts_of,
    train_until,
    train_whole,
    weights,
)

KEEP_HEADS = {"model.key_value_heads": 4}


def moved(path: Path) -> bytes:
    """The bytes of everything that moves: weights, moments, and what the guard knows."""
    newest = max((path / "checkpoints").iterdir())
    return (newest / "model.safetensors").read_bytes() + (newest / "optimizer.safetensors").read_bytes()


@every_way
def test_another_number_of_processes_goes_on_with_a_checkpoint(
    way: str, pair: Processes, fresh: Callable[[str], Path], alone: Callable[[str], Path]
) -> None:
    """Two, then one, then two again; a micro-batch may be larger than the share of a process."""
    path, changes = fresh("changing"), WAYS[way] | {"training.optimizer": "muon", "training.micro_batch_size": 8}
    assert pair.call(train_until, path, changes, 15) == [15, 15]
    assert train_until(ONE, path, changes, 30) == 30
    assert pair.call(train_until, path, changes, STEPS) == [STEPS, STEPS]
    assert_equal_weights(path, alone("muon", way))


def train_as_begun_otherwise(world: World, path: Path, changes: dict[str, Any], stop: int) -> int:
    """``train_until``, but nobody minds that the checkpoint names another way of sharing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("homespun.pipeline.assemble.check_made_with", lambda checkpoint, now: None)
        return train_until(world, path, changes, stop)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_way_goes_on_from_the_checkpoints_of_divided_blocks_and_the_other_way_round(
    optimizer: str, pair: Processes, fresh: Callable[[str], Path], alone: Callable[..., Path]
) -> None:
    path, shape = fresh("relay"), WAYS["tensor"] | {"training.optimizer": optimizer, "training.average_decay": 0.9}
    for stop, way in zip(range(7, STEPS, 7), ("tensor", "replicated", "tensor", "sharded", "tensor"), strict=False):
        assert pair.call(train_as_begun_otherwise, path, shape | WAYS[way] | KEEP_HEADS, stop) == [stop, stop]
    assert train_as_begun_otherwise(ONE, path, shape, 42) == 42
    assert pair.call(train_as_begun_otherwise, path, shape, STEPS - 1) == [STEPS - 1] * 2
    changes = shape | {"training.average_decay": 0.0}
    assert pair.call(train_as_begun_otherwise, path, changes, STEPS) == [STEPS, STEPS]
    assert_equal_weights(path, alone(optimizer, "tensor"))


@pytest.mark.parametrize("way", ["replicated", "sharded", "tensor"])
def test_killed_and_started_again_two_processes_have_the_same_bytes(
    way: str, pair: Processes, fresh: Callable[[str], Path]
) -> None:
    changes = WAYS[way] | {"training.steps": 20, "training.checkpoint_seconds": 0.0, "training.average_decay": 0.9}
    straight, killed = fresh("straight"), fresh("killed")
    pair.call(train_whole, straight, changes)
    for steps in (5, 10):
        victims = Processes(2)
        victims.begin(train_whole, killed, changes)
        deadline = time.monotonic() + 60
        while not (killed / f"checkpoints/step-{steps:08d}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        victims.kill()
    assert not (killed / "result.json").exists()
    assert pair.call(train_until, killed, changes, 20) == [20, 20]
    assert moved(killed) == moved(straight)


@pytest.mark.parametrize("way", ["replicated", "sharded", "tensor"])
def test_all_keep_the_same_best_weights(way: str, pair: Processes, fresh: Callable[[str], Path]) -> None:
    """Those of a run that ended there; also after a stop, though nothing better follows it."""
    changes = WAYS[way] | {"training.steps": 12, "training.schedule": "noam"}
    until, best = fresh("until"), changes | {"training.keep": "best", "training.evaluate_every": 4}
    assert pair.call(kept_at, until, best | {"training.patience": 2}, 12, 4) == [(4, 12)] * 2
    stopped = fresh("stopped")
    assert pair.call(kept_at, stopped, best, 7, 4) == [(4, 7)] * 2
    assert pair.call(kept_at, stopped, best, 12, 4) == [(4, 12)] * 2
    straight = fresh("straight")
    assert pair.call(train_until, straight, changes, 4) == [4, 4]
    for path in (until, stopped):
        for name, tensor in weights(straight).items():
            assert torch.equal(weights(path)[name], tensor), name


def kept_at(world: World, path: Path, changes: dict[str, Any], stop: int, best: int) -> tuple[int, int]:
    """The best step, if validation is best at ``best`` and the processes measure a little differently; and the last."""
    with ExitStack() as stack:
        run = parts_of(world, path, changes, stack)
        run.stop_requested = lambda: run.state.step >= stop
        run.validate = lambda _: ExactLoss(abs(run.state.step - best) + world.rank * 1e-9, None, 1)
        train(run)
        return run.state.best_at, run.state.step


def test_all_go_on_from_the_checkpoint_that_the_first_one_finds(
    pair: Processes, fresh: Callable[[str], Path], alone: Callable[[str], Path]
) -> None:
    """A kill between two steps of saving leaves a whole one under a temporary name, which the first one rescues."""
    path = fresh("leftover")
    for stop in (10, 20):
        pair.call(train_until, path, {}, stop)
    (path / "checkpoints/step-00000020").rename(path / "checkpoints/.unfinished-1-step-00000020")
    assert pair.call(train_until, path, {}, STEPS) == [STEPS, STEPS]
    assert_equal_weights(path, alone("adamw"))
