"""BERT on two processes: the weights and the figures of one, replicated and sharded, with both tasks."""

import inspect
import json
import shutil
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from homespun.cli.main import run as command
from homespun.common.configuration import replace_values
from homespun.common.progress import Silent
from homespun.pipeline.configuration import load_toml
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.train_stage import train_run
from homespun.training.pace import FixedPace
from homespun.training.world import World
from tests.training.parallel.processes import Processes

OPTIONS = {
    "model.architecture": "bert", "model.width": 32, "model.layers": 2, "model.heads": 4, "model.context": 16,
    "tokenizer.vocabulary_size": 280, "training.steps": 20, "training.batch_size": 8, "training.micro_batch_size": 4,
    "training.optimizer": "adamw", "training.learning_rate": 3e-3, "training.warmup_steps": 5,
    "training.evaluate_every": 1000, "training.sample_every": 0, "training.precision": "fp32",
    "training.attention": "fused", "training.compile": "off", "training.threads": 1,
    "training.checkpoint_seconds": 1e9,
}  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process that takes each batch in two halves."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "text.py").write_text(inspect.getsource(textwrap), "utf-8")
    options = [f"--{key}={value}" for key, value in OPTIONS.items()]
    out = folder / "run"
    assert command(["train", str(folder / "text.py"), "--out", str(out), "--model.next-sentence", *options]) == 0
    return out


def train_in(world: World, path: Path, way: str) -> bool:
    """All of the training stage."""
    config = replace_values(load_toml(path / "config.toml"), {"training.parallel": way})
    return train_run(RunFolder(path), config, FixedPace(), Silent(), world)


@pytest.mark.parametrize("way", ["replicated", "sharded"])
def test_two_processes_are_one(way: str, pair: Processes, alone: Path, tmp_path: Path) -> None:
    path = tmp_path / "pair"
    left_out = shutil.ignore_patterns("checkpoints", "result.json", "metrics.jsonl", "samples.jsonl", "report.html")
    shutil.copytree(alone, path, ignore=left_out)
    assert pair.call(train_in, path, way) == [True, True]
    one, two = (load_file(max((run / "checkpoints").iterdir()) / "model.safetensors") for run in (alone, path))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if name.endswith(
            "query_key_value.bias"
        ):  # the keys' one adds the same to all scores: its gradient is only rounding
            tensor, two[name] = (torch.cat([bias[:32], bias[64:]]) for bias in (tensor, two[name]))
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-5, msg=lambda text, name=name: name + text)
    ours, theirs = (json.loads((run / "result.json").read_text()) for run in (alone, path))
    assert theirs["validation_tokens"] == ours["validation_tokens"] and theirs["tokens_seen"] == ours["tokens_seen"]
    for key in ("validation_loss", "validation_accuracy", "validation_next_sentence_accuracy"):
        assert theirs[key] == pytest.approx(ours[key], rel=1e-4), key
