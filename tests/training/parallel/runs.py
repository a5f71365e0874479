"""Runs of a tiny decoder for tests of several processes: settings, ways to share the work, parts, figures."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from homespun.common.configuration import replace_values
from homespun.common.progress import Silent
from homespun.pipeline.assemble import assemble, prepare_process
from homespun.pipeline.configuration import load_toml
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.train_stage import pretraining, train_run
from homespun.training.loop import TrainingRun, train
from homespun.training.pace import FixedPace
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
every_way = pytest.mark.parametrize("way", WAYS)


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
