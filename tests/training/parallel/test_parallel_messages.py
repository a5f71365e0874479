"""What several processes send each other within a step: how often, and what."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from homespun.training.loop import train_step
from homespun.training.world import World
from tests.training.parallel.processes import Processes
from tests.training.parallel.runs import WAYS, parts_of


class Messages(TorchDispatchMode):
    """Counts the tensors that go to other processes, by operation."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if function.namespace in ("c10d", "_c10d_functional"):
            self.counts[function.name()] += 1
        return function(*arguments, **(keywords or {}))


def messages_of_a_step(world: World, path: Path, changes: dict[str, Any]) -> dict[str, int]:
    """What goes to other processes within one step."""
    with ExitStack() as stack:
        run = parts_of(world, path, changes, stack)
        with Messages() as messages:
            train_step(run, 1.0)
        return dict(messages.counts)


@pytest.mark.parametrize(
    ("way", "operation", "expected"),
    [
        ("replicated", "c10d::allreduce_", 3),  # the number of targets, the loss, and all gradients in one piece
        ("sharded", "c10d::_reduce_scatter_base_", 3),  # the gradients of two blocks and of the rest
    ],
)
@pytest.mark.parametrize("micro", [4, 1])
def test_gradients_are_exchanged_once_a_step_however_many_micro_batches_there_are(
    way: str, operation: str, expected: int, micro: int, pair: Processes, fresh: Callable[[str], Path]
) -> None:
    changes = WAYS[way] | {"training.micro_batch_size": micro}
    for counts in pair.call(messages_of_a_step, fresh("step"), changes):
        assert counts[operation] == expected


@pytest.mark.parametrize("micro", [8, 2])
def test_divided_blocks_exchange_activations_and_no_weights(
    micro: int, pair: Processes, fresh: Callable[[str], Path]
) -> None:
    """In each of two blocks two sums on the way forward, two back, and those for the gains of queries and keys."""
    changes = WAYS["tensor"] | {"training.micro_batch_size": micro}
    for counts in pair.call(messages_of_a_step, fresh("step"), changes):
        sums = 2 * (2 + 2 + 2) * 8 // micro
        names = ("all_reduce", "wait_tensor", "_wrap_tensor_autograd")
        assert counts == {f"_c10d_functional::{name}": sums for name in names}
