"""What goes wrong in one of several processes is dealt with in all; what cannot be shared is said in one line."""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.batches.batch import Batch
from homespun.common.errors import UsageError
from homespun.training.loop import TrainingRun, train
from homespun.training.losses import NextToken, Objective
from homespun.training.parallel import check_batch
from homespun.training.settings import TrainingConfig
from homespun.training.world import World
from tests.training.parallel.processes import Processes
from tests.training.parallel.runs import ONE, WAYS, assert_equal_weights, parts_of


class Spoiled:
    """The task, but in one step the loss, or only its gradient, is not a number."""

    def __init__(self, run: TrainingRun, at: int, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.run, self.at, self.spoil = run, at, spoil

    def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        total, count = NextToken().loss(model, batch)
        return (self.spoil(total) if self.run.state.step == self.at else total), count


def lose_the_number(total: torch.Tensor) -> torch.Tensor:
    return total * float("nan")


def lose_the_gradient(total: torch.Tensor) -> torch.Tensor:
    """The loss is a number; the square root's slope at 0 is not."""
    return total.detach() + (total - total.detach()).sqrt()


SPOILS = {"the loss": lose_the_number, "only the gradient": lose_the_gradient}


def train_spoiled(world: World, path: Path, changes: dict[str, Any], what: str) -> tuple[int, int]:
    """Train with one bad step in the last process; the steps taken and the steps skipped."""
    with ExitStack() as stack:
        run = parts_of(world, path, changes, stack)
        if world.rank == world.size - 1:
            task = Spoiled(run, 12, SPOILS[what])
            objectives = [module for module in run.objective.modules() if isinstance(module, Objective)]
            objectives[0].task = task
        assert train(run)
        return run.state.step, run.state.skipped


@pytest.mark.parametrize("what", SPOILS)
@pytest.mark.parametrize("way", ["replicated", "sharded", "tensor"])
def test_a_number_lost_in_one_process_is_a_step_skipped_in_all(
    way: str, what: str, pair: Processes, fresh: Callable[[str], Path]
) -> None:
    one, two = fresh("one"), fresh("two")
    changes = WAYS[way] | {"training.steps": 20}
    assert train_spoiled(ONE, one, changes, what) == (20, 1)
    assert pair.call(train_spoiled, two, changes, what) == [(20, 1), (20, 1)]
    assert_equal_weights(two, one)


def parallel_error(world: World, path: Path, changes: dict[str, Any]) -> str:
    """The line that a user would see."""
    with ExitStack() as stack, pytest.raises(UsageError) as raised:
        parts_of(world, path, changes, stack)
    return str(raised.value)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"training.batch_size": 7}, "training.batch_size 7 cannot be divided among 2 processes; start 1"),
        ({"training.parallel": "hybrid", "training.shard_size": 3}, "training.shard_size 3 does not divide the 2 proc"),
        ({"training.parallel": "tensor"}, "model.key_value_heads 2 must be as many as model.heads 4; take another way"),
        ({"training.parallel": "tensor", "model.heads": 1, "model.key_value_heads": 0}, "model.heads 1 cannot be div"),
        ({"training.parallel": "tensor", "model.experts": 2}, "experts are not divided; take another way"),
        (WAYS["tensor"] | {"model.feedforward_width": 33}, "33 hidden channels cannot be divided among 2 processes"),
        (WAYS["tensor, groups of 1"] | {"training.batch_size": 7}, "cannot be divided among 2 processes; start 1"),
    ],
)
def test_what_cannot_be_shared_is_said(
    changes: dict[str, Any], line: str, pair: Processes, fresh: Callable[[str], Path]
) -> None:
    for found in pair.call(parallel_error, fresh("refused"), changes):
        assert line in found and "\n" not in found


@pytest.mark.parametrize(("batch", "processes"), list(itertools.product([1, 2, 6, 8, 9], [1, 2, 3, 4])))
def test_a_batch_is_accepted_exactly_if_it_can_be_divided(batch: int, processes: int) -> None:
    training = TrainingConfig(batch_size=batch)
    if batch % processes == 0:
        check_batch(training, World(0, processes))
    else:
        with pytest.raises(UsageError):
            check_batch(training, World(0, processes))
