"""Every finetuning on two processes has the weights and the figures of one: replicated and sharded."""

import inspect
import json
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

MADE_BY_TRAINING = ("checkpoints", "reference", "result.json", "metrics.jsonl", "samples.jsonl", "report.html")
USUAL = {
    "training.batch_size": 8, "training.micro_batch_size": 4, "training.optimizer": "adamw",
    "training.precision": "fp32", "training.attention": "fused", "training.compile": "off", "training.threads": 1,
    "training.warmup_steps": 3, "training.sample_every": 0, "training.evaluate_every": 1000,
    "training.checkpoint_seconds": 1e9, "sampling.maximum_tokens": 1,
}  # fmt: skip
SHAPE = {"model.width": 32, "model.layers": 2, "model.heads": 4, "model.context": 48, "model.dropout": 0.0,
         "tokenizer.vocabulary_size": 270}  # fmt: skip
LORA = {"model.trained": "lora", "model.lora_rank": 2}
# Of each finetuning: which base, which file, options.
FINETUNINGS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "texts, some of them read again": (
        "texts",
        "decoder",
        "field.txt",
        {"replay.sources": "text.py", "replay.share": 0.4},
    ),
    "texts, differences": ("texts", "decoder", "field.txt", {"replay.sources": "text.py", "replay.share": 0} | LORA),
    "instructions": ("instructions", "decoder", "said.json", {}),
    "instructions, last layers": ("instructions", "decoder", "said.json", {"model.trained": "last-layers"}),
    "instructions, base in 8 bits": ("instructions", "decoder", "said.json", {"model.base_bits": 8} | LORA),
    "instructions, base in 4 bits": ("instructions", "decoder", "said.json", {"model.base_bits": 4} | LORA),
    "preferences, base in 4 bits": ("preferences", "decoder", "liked.json", {"model.base_bits": 4} | LORA),
    "pairs": ("pairs", "encoder-decoder", "pairs.jsonl", {}),
    "pairs, base in 4 bits": ("pairs", "encoder-decoder", "pairs.jsonl", {"model.base_bits": 4} | LORA),
    "classify": ("classify", "decoder", "kinds.csv", {"model.dropout": 0.0}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files to learn from, and a base of each kind."""
    folder = tmp_path_factory.mktemp("finetunes")
    (folder / "text.py").write_text(inspect.getsource(textwrap), "utf-8")
    (folder / "field.txt").write_text("\n".join(f"{number} sheep and {number + 1}" for number in range(900)), "utf-8")
    asked = [(f"Say {word} {number}", word) for number in range(60) for word in ("yes", "no")]
    told = [{"instruction": question, "output": word} for question, word in asked]
    liked = [{"instruction": question, "chosen": word, "rejected": f"not {word}"} for question, word in asked]
    (folder / "said.json").write_text(json.dumps(told), "utf-8")
    (folder / "liked.json").write_text(json.dumps(liked), "utf-8")
    pairs = [json.dumps({"source": question, "target": word}) for question, word in asked]
    (folder / "pairs.jsonl").write_text("\n".join(pairs), "utf-8")
    (folder / "kinds.csv").write_text("\n".join(["text,label", *(f"{one},{word}" for one, word in asked)]), "utf-8")
    for base, text, changes in (
        ("decoder", "text.py", {}),
        # A bias of the keys adds the same to all scores: its gradient is rounding alone, and AdamW makes steps of it.
        ("encoder-decoder", "pairs.jsonl", {"model.architecture": "encoder_decoder", "model.biases": False}),
    ):
        options = options_of(SHAPE | {"training.steps": 3} | changes, folder / base)
        assert command(["train", str(folder / text), *options]) == 0
    return folder


def options_of(changes: dict[str, Any], out: Path) -> list[str]:
    return [f"--{key}={value}" for key, value in (USUAL | changes).items()] + ["--out", str(out)]


@pytest.fixture(scope="module")
def alone(folder: Path) -> Callable[[str], Path]:
    """``alone(name)``: the run of one process that takes each batch in two halves; made once."""

    def make(name: str) -> Path:
        kind, base, file, changes = FINETUNINGS[name]
        if not (folder / name).exists():
            if "replay.sources" in changes:
                changes = changes | {"replay.sources": folder / changes["replay.sources"]}
            options = options_of(changes | {"training.steps": 12, "training.learning_rate": 3e-3}, folder / name)
            assert command(["finetune", kind, str(folder / base), str(folder / file), *options]) == 0
        return folder / name

    return make


def train_in(world: World, path: Path, way: str) -> bool:
    """All of the training stage."""
    config = replace_values(load_toml(path / "config.toml"), {"training.parallel": way})
    return train_run(RunFolder(path), config, FixedPace(), Silent(), world)


def figures(found: Any, name: str = "") -> dict[str, float]:
    """All numbers of a result, by where they stand; but not what a clock or the machine has told."""
    if isinstance(found, dict):
        return {key: value for one, part in found.items() for key, value in figures(part, f"{name}/{one}").items()}
    disturbed = any(word in name for word in ("seconds", "per_second", "memory"))
    return {} if disturbed or isinstance(found, bool) or not isinstance(found, int | float) else {name: found}


@pytest.mark.parametrize("way", ["replicated", "sharded"])
@pytest.mark.parametrize("name", FINETUNINGS)
def test_two_processes_are_one(
    name: str, way: str, pair: Processes, alone: Callable[[str], Path], tmp_path: Path
) -> None:
    path, wanted = tmp_path / "pair", alone(name)
    shutil.copytree(wanted, path, ignore=shutil.ignore_patterns(*MADE_BY_TRAINING))
    shutil.copytree(wanted / "base", path / "base", dirs_exist_ok=True)
    assert pair.call(train_in, path, way) == [True, True]
    ours, theirs = (load_file(max((run / "checkpoints").iterdir()) / "model.safetensors") for run in (path, wanted))
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        torch.testing.assert_close(ours[key], tensor, rtol=0, atol=2e-5, msg=lambda text, key=key: key + text)
    found, expected = (figures(json.loads((run / "result.json").read_text("utf-8"))) for run in (path, wanted))
    assert found.keys() == expected.keys() and "/validation_loss" in found
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
