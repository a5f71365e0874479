"""Loading a run for inference: the weights that were saved, or one line that says what is wrong."""

import json
import os
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.inference.load import load_for_inference
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import TrainingState, save_checkpoint, take_snapshot
from homespun.training.execution import Execution

TOKENIZER = Tokenizer("homespun", [])
CONFIG = GPTConfig(
    vocabulary_size=TOKENIZER.vocabulary_size, context=8, layers=1, width=16, heads=2, key_value_heads=1, dropout=0.1
)


def no_warning(text: str) -> None:
    raise AssertionError(f"unexpected warning: {text}")


def save(run: Path, config: GPTConfig = CONFIG, step: int = 3) -> GPT:
    """A run folder with one more checkpoint; the model in it."""
    run.mkdir(exist_ok=True)
    TOKENIZER.save(run / "tokenizer.json")
    model = GPT(config)
    snapshot = take_snapshot(model, {}, TrainingState(step, 9, 0, 0.0, Execution()))
    documents = {"config.json": asdict(config), "made_with.json": {}}
    save_checkpoint(run / "checkpoints", snapshot, documents, run / "tokenizer.json", 9)
    return model


def rewrite(run: Path, name: str, content: str) -> None:
    """Change a file of the only checkpoint, and its checksum with it: not damage, but something else."""
    [checkpoint] = (run / "checkpoints").iterdir()
    (checkpoint / name).write_text(content)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["sha256"][name] = sha256(content.encode()).hexdigest()
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def test_the_model_that_was_saved(tmp_path: Path) -> None:
    save(tmp_path / "run", step=3)
    saved = save(tmp_path / "run", step=4)
    model, tokenizer = load_for_inference(tmp_path / "run", no_warning)
    assert model.config == CONFIG
    assert not model.training
    assert tokenizer.identity() == TOKENIZER.identity()
    for (name, ours), (_, theirs) in zip(model.named_parameters(), saved.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def test_a_run_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no run folder .*nowhere; make one with: homespun build"):
        load_for_inference(tmp_path / "nowhere", no_warning)


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match="has no checkpoint yet; continue it with: homespun train --resume"):
        load_for_inference(tmp_path, no_warning)


def test_damage_falls_back_to_the_checkpoint_before(tmp_path: Path) -> None:
    expected = save(tmp_path / "run", step=3)
    save(tmp_path / "run", step=4)
    (tmp_path / "run/checkpoints/step-00000004/model.safetensors").write_bytes(b"")
    warnings: list[str] = []
    model, _ = load_for_inference(tmp_path / "run", warnings.append)
    assert torch.equal(model.token_embedding.weight, expected.token_embedding.weight)
    assert len(warnings) == 1
    assert "step-00000004/model.safetensors" in warnings[0]


def test_only_damaged_checkpoints(tmp_path: Path) -> None:
    save(tmp_path / "run")
    (tmp_path / "run/checkpoints/step-00000003/config.json").unlink()
    warnings: list[str] = []
    with pytest.raises(DamagedFileError, match="every checkpoint"):
        load_for_inference(tmp_path / "run", warnings.append)
    assert "config.json is missing" in warnings[0]


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (json.dumps(asdict(CONFIG) | {"flux": 3}), DamagedFileError, "config.json.*does not fit this version.*flux"),
        ("[1, 2]", DamagedFileError, "config.json.*does not fit this version"),
        (json.dumps(asdict(CONFIG) | {"width": 32}), DamagedFileError, "model.safetensors.*has shape"),
        (json.dumps(asdict(CONFIG) | {"layers": 2}), DamagedFileError, r"model\.safetensors lacks the tensor"),
        (json.dumps(asdict(CONFIG) | {"heads": 0}), DamagedFileError, "config.json.*model.heads"),
        (json.dumps(asdict(CONFIG) | {"width": "16"}), DamagedFileError, "config.json"),
    ],
)
def test_a_configuration_that_does_not_fit(tmp_path: Path, content: str, error: type[HomespunError], says: str) -> None:
    save(tmp_path / "run")
    rewrite(tmp_path / "run", "config.json", content)
    with pytest.raises(error, match=says) as raised:
        load_for_inference(tmp_path / "run", no_warning)
    assert "\n" not in str(raised.value)


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    save(tmp_path / "run")
    other = tmp_path / "other.json"
    Tokenizer("homespun", [(97, 98)]).save(other)
    rewrite(tmp_path / "run", "tokenizer.json", other.read_text())
    with pytest.raises(DamagedFileError, match="the tokenizer has 261 tokens, the model 260"):
        load_for_inference(tmp_path / "run", no_warning)


def test_reading_does_not_disturb_a_run_that_is_writing(tmp_path: Path) -> None:
    save(tmp_path / "run")
    writing = tmp_path / f"run/checkpoints/.unfinished-{os.getpid()}-step-00000009"
    writing.mkdir()
    load_for_inference(tmp_path / "run", no_warning)
    assert writing.is_dir()
