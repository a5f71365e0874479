"""Several processes are one: the same weights, losses and checkpoints, whatever their number and way of sharing."""

import inspect
import itertools
import json
import shutil
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from processes import Processes
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from homespun.batches.ahead import Ahead
from homespun.batches.batch import IGNORED, Batch
from homespun.batches.next_token import NextTokenBatches
from homespun.cli.main import run as command
from homespun.common.configuration import replace_values
from homespun.common.errors import UsageError
from homespun.common.progress import Silent
from homespun.inference.load import load_for_classification
from homespun.pipeline.assemble import assemble, prepare_process
from homespun.pipeline.configuration import load_toml
from homespun.pipeline.labelled_lesson import labelled_lesson
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.train_stage import pretraining, train_run
from homespun.training.loop import TrainingRun, train, train_step
from homespun.training.losses import NextToken, Objective
from homespun.training.pace import FixedPace
from homespun.training.parallel import PARALLEL, check_batch
from homespun.training.settings import TrainingConfig
from homespun.training.validation import ExactLoss, exact_loss
from homespun.training.world import World

ONE = World()
STEPS = 50
# Grouped queries, value embeddings and a tied head: every kind of parameter that the model can have.
CONFIGURATION = {
    "model.width": 32, "model.layers": 2, "model.heads": 4, "model.key_value_heads": 2, "model.context": 16,
    "model.value_embeddings": 1, "tokenizer.vocabulary_size": 260, "training.steps": STEPS, "training.batch_size": 8,
    "training.optimizer": "adamw", "training.learning_rate": 3e-3, "training.warmup_steps": 5,
    "training.evaluate_every": 1000,
    "training.sample_every": 0, "training.log_every": 5, "training.precision": "fp32", "training.attention": "fused",
    "training.compile": "off", "training.threads": 1, "training.checkpoint_seconds": 1e9,
    "sampling.maximum_tokens": 1,
}  # fmt: skip
WAYS = {
    "replicated": {"training.parallel": "replicated"},
    "sharded": {"training.parallel": "sharded"},
    "hybrid, groups of 2": {"training.parallel": "hybrid", "training.shard_size": 2},
    "hybrid, groups of 1": {"training.parallel": "hybrid", "training.shard_size": 1},
    "tensor": {"training.parallel": "tensor", "model.key_value_heads": 4},  # groups of heads cannot be divided
    "tensor, groups of 1": {"training.parallel": "tensor", "training.tensor_size": 1},
}
KEEP_HEADS = {"model.key_value_heads": 4}
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A run makes PyTorch deterministic; other tests may not expect it."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="module")
def pair() -> Iterator[Processes]:
    """Two processes that train together."""
    processes = Processes(2)
    yield processes
    processes.kill()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with text, tokenizer and tokens."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "text.py").write_text(inspect.getsource(textwrap), "utf-8")
    options = [f"--{key}={value}" for key, value in (CONFIGURATION | {"training.steps": 1}).items()]
    assert command(["train", str(folder / "text.py"), "--out", str(folder / "run"), *options]) == 0
    return folder / "run"


@pytest.fixture
def fresh(prepared: Path, tmp_path: Path) -> Callable[[str], Path]:
    """``fresh(name)``: a run folder in which nothing has been trained."""

    def make(name: str) -> Path:
        for part in ("run.json", "config.toml", "tokenizer.json"):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copyfile(prepared / part, tmp_path / name / part)
        shutil.copytree(prepared / "tokens", tmp_path / name / "tokens")
        return tmp_path / name

    return make


def parts_of(world: World, path: Path, changes: dict[str, Any], stack: ExitStack) -> TrainingRun:
    """A run in ``path``, at its newest checkpoint."""
    config = replace_values(load_toml(path / "config.toml"), CONFIGURATION | changes)
    run, place = RunFolder(path), prepare_process(config.training, Silent(), world)
    return assemble(run, config, pretraining(run, config, place.world), place, FixedPace(), Silent(), stack)[0]


def train_whole(world: World, path: Path, changes: dict[str, Any]) -> bool:
    """All of the training stage."""
    config = replace_values(load_toml(path / "config.toml"), CONFIGURATION | changes)
    return train_run(RunFolder(path), config, FixedPace(), Silent(), world)


def train_until(world: World, path: Path, changes: dict[str, Any], stop: int) -> int:
    """Until somebody asks to stop after ``stop`` steps; where it stands then."""
    with ExitStack() as stack:
        run = parts_of(world, path, changes, stack)
        run.stop_requested = lambda: world.rank == world.size - 1 and run.state.step >= stop
        assert train(run) is (stop >= run.state.total)
        return run.state.step


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Of the newest checkpoint."""
    return load_file(max((path / "checkpoints").iterdir()) / "model.safetensors")


def moved(path: Path) -> bytes:
    """The bytes of everything that moves: weights, moments, and what the guard knows."""
    newest = max((path / "checkpoints").iterdir())
    return (newest / "model.safetensors").read_bytes() + (newest / "optimizer.safetensors").read_bytes()


def assert_equal_weights(path: Path, other: Path, within: float = 1e-5) -> None:
    ours, theirs = weights(path), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=within, msg=lambda text, name=name: name + text)


def told(path: Path) -> dict[str, list[float]]:
    """What a run has said of each window of steps, and of itself at the end."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = {f"step {line['step']}": [line["loss"], line["gradient_norm"]] for line in lines if "gradient_norm" in line}
    result = json.loads((path / "result.json").read_text("utf-8"))
    return steps | {"end": [result[key] for key in ("validation_loss", "validation_tokens", "tokens_seen")]}


@pytest.fixture(scope="module")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``alone(optimizer, way)``: the run folder of one process that takes each batch in two halves; made once."""
    made: dict[tuple[str, bool], Path] = {}

    def make(optimizer: str, way: str = "replicated") -> Path:
        shape = {key: value for key, value in WAYS[way].items() if key.startswith("model.")}
        key = (optimizer, bool(shape))
        if key not in made:
            path = tmp_path_factory.mktemp("alone") / optimizer
            shutil.copytree(prepared, path, ignore=lambda folder, names: ["checkpoints"])
            assert train_whole(ONE, path, shape | {"training.optimizer": optimizer, "training.micro_batch_size": 4})
            made[key] = path
        return made[key]

    return make


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


def test_every_way_is_tested() -> None:
    assert {way["training.parallel"] for way in WAYS.values()} == PARALLEL.keys()


def finetune_until(world: World, path: Path, changes: dict[str, Any], stop: int) -> int:
    """``train_until`` for a classifier, configured as its run folder says."""
    config = replace_values(load_toml(path / "config.toml"), changes)
    with ExitStack() as stack:
        run, place = RunFolder(path), prepare_process(config.training, Silent(), world)
        lesson = labelled_lesson(run, config, place.world)
        training_run = assemble(run, config, lesson, place, FixedPace(), Silent(), stack)[0]
        training_run.stop_requested = lambda: world.rank == world.size - 1 and training_run.state.step >= stop
        train(training_run)
        return training_run.state.step


@pytest.mark.parametrize("way", ["replicated", "sharded"])
def test_processes_that_finetune_write_what_moves_and_any_number_goes_on_with_it(
    way: str, pair: Processes, prepared: Path, tmp_path: Path
) -> None:
    lines = [json.dumps({"text": f"{word} {number}", "label": word}) for number in range(20) for word in ("yes", "no")]
    (tmp_path / "table.jsonl").write_text("\n".join(lines), "utf-8")
    changes = CONFIGURATION | {"training.steps": 12, "training.parallel": way, "training.micro_batch_size": 4}
    options = [f"--{key}={value}" for key, value in changes.items() if key.startswith("training.")]
    one, two = tmp_path / "one", tmp_path / "two"
    asked = ["finetune", "classify", str(prepared), str(tmp_path / "table.jsonl"), "--out", str(one), *options]
    assert command([*asked, "--train=lora", "--model.lora-rank=2", "--model.dropout=0"]) == 0
    shutil.copytree(one, two, ignore=lambda folder, names: ["checkpoints", "result.json"])
    assert pair.call(finetune_until, two, {}, 5) == [5, 5]
    names = weights(two).keys()
    assert names == weights(one).keys() and all(name.endswith((".up", ".down")) or "head." in name for name in names)
    assert finetune_until(ONE, two, {}, 9) == 9
    assert pair.call(finetune_until, two, {}, 12) == [12, 12]
    assert_equal_weights(two, one)
    ours, theirs = (load_for_classification(path, pytest.fail)[0].state_dict() for path in (two, one))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-5)
