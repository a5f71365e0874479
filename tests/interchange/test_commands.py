"""``homespun import`` and ``homespun export``: a run folder that later commands take, and clear lines for the rest."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.cli.main import run
from homespun.common.progress import Silent
from homespun.inference.load import load_for_inference
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.options import Writing
from homespun.models.gpt import GPT
from homespun.pipeline import import_run as import_run_module
from homespun.pipeline.configuration import load_toml
from tests.interchange.conftest import OURS, TOKENIZER, our_model

OPTIONS = ["--prompt", "the other", "--temperature", "0", "--maximum-tokens", "12", "--json"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[GPT, Path]:
    """A model, and a folder of it in Hugging Face's layout."""
    model, path = our_model("qwen3"), tmp_path_factory.mktemp("shared") / "model"
    export_model(model, TOKENIZER, FORMATS["huggingface"], path, Writing(), Silent())
    return model, path


@pytest.fixture(scope="module")
def imported(shared: tuple[GPT, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder made of it."""
    out = tmp_path_factory.mktemp("runs") / "imported"
    assert run(["import", str(shared[1]), "--out", str(out)]) == 0
    return out


def fail(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int) -> str:
    """Run, expect ``code`` and one line of complaint; return it."""
    capsys.readouterr()
    assert run(arguments) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("homespun: ")]
    assert len(lines) == 1
    return lines[0]


def test_an_imported_run_has_the_same_weights(shared: tuple[GPT, Path], imported: Path) -> None:
    model, tokenizer = load_for_inference(imported, lambda text: pytest.fail(text))
    assert tokenizer.identity() == TOKENIZER.identity()
    for (name, ours), (_, theirs) in zip(model.named_parameters(), shared[0].named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    assert [path.name for path in (imported / "checkpoints").iterdir()] == ["step-00000000"]
    record = json.loads((imported / "run.json").read_text())
    assert (record["name"], record["state"]) == ("imported", "imported")
    assert record["imported"] == {"source": "model", "format": "huggingface"}
    # what homespun takes as its own default, the file spells out
    assert load_toml(imported / "config.toml").model == model.config


def test_later_commands_take_it(imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", str(imported), *OPTIONS]) == 0
    text = json.loads(capsys.readouterr().out)["text"]
    for command in (["report", str(imported)], ["config", "show", "--run", str(imported)]):
        assert run(command) == 0
    assert "imported: imported" in capsys.readouterr().out
    page = (imported / "report.html").read_text("utf-8")
    assert "These weights were imported" in page and "This is how it was imported" in page
    assert "homespun generate" in page and "--resume" not in page and "homespun build" not in page
    for target in ("huggingface", "safetensors"):
        again = tmp_path / target
        assert run(["export", str(imported), "--format", target, "--out", str(again)]) == 0
        line = capsys.readouterr().out
        assert line.count("\n") == 1
        assert "tensors equal to the bit, logits of 80 tokens within 0, ids of " in line
        assert run(["import", str(again), "--out", str(tmp_path / f"run-{target}")]) == 0
        capsys.readouterr()
        assert run(["generate", str(tmp_path / f"run-{target}"), *OPTIONS]) == 0
        assert json.loads(capsys.readouterr().out)["text"] == text


def test_what_cannot_go_on(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fail(["train", "--resume", str(imported)], capsys, 2)
    assert "was imported: it has weights, but neither the text nor the optimizer's state" in line
    assert "was imported: it has no text" in fail(["rate", str(imported)], capsys, 2)
    assert "is left out: it has not trained yet, its state is imported" in complaints(["runs", str(imported)], capsys)


def complaints(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Whatever a command says beside its result."""
    capsys.readouterr()
    run(arguments)
    return capsys.readouterr().err


def test_output_for_programs(shared: tuple[GPT, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(["import", str(shared[1]), "--out", str(out), "--json", "--context", "20"]) == 0
    found = json.loads(capsys.readouterr().out)
    parameters = sum(parameter.numel() for parameter in shared[0].parameters())
    assert found == {
        "run": str(out), "format": "huggingface", "architecture": "gpt", "parameters": parameters, "context": 20,
        "tokens": TOKENIZER.vocabulary_size, "adapter_parameters": 0,
    }  # fmt: skip
    assert run(["export", str(out), "--format", "huggingface", "--out", str(tmp_path / "x"), "--number", "bf16",
                "--json"]) == 0  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert found["verified"]["exact"] is False and found["verified"]["tensors"] == len(list(shared[0].parameters()))
    assert set(found["files"]) == {path.name for path in (tmp_path / "x").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["import", "nowhere", "--out", "run"], 2, "there is no file or folder nowhere"),
        (["import", "model", "--out", "run", "--context", "-1"], 2, "--context is -1"),
        (["import", "model", "--out", "run", "--context", "41"], 2, "--context is 41; the model has seen at most 40"),
        (["import", "model", "--out", "model"], 2, "model exists and is not empty; give another --out"),
        (["import", "model", "--out", "run", "--tokenizer", "nothing.json"], 1, "nothing.json"),
        (["import", "model"], 2, "--out"),
        (["export", "nowhere", "--format", "huggingface", "--out", "x"], 2, "no run folder nowhere"),
        (["export", "nowhere", "--format", "onnx", "--out", "x"], 2, "onnx"),
        (["export", "nowhere", "--format", "gguf", "--out", "x", "--shard-bytes", "0"], 2, "--shard-bytes is 0"),
        (["export", "nowhere", "--format", "rwkv", "--out", "x", "--nearest-split"], 2, "is for --format gguf"),
    ],
)
def test_a_wrong_call_gets_one_clear_line(
    arguments: list[str], code: int, says: str, shared: tuple[GPT, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(shared[1])
    assert says in fail(arguments, capsys, code)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def cut(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9])


def claim_a_long_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + path.read_bytes()[8:])


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def make_weights_a_folder(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def make_config_a_folder(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (
        lambda folder: flip(folder / "model.safetensors"),
        "model.safetensors was changed since it was written",
    ),
    "cut": (cut, "model.safetensors is cut off"),
    "header": (claim_a_long_header, "its header would have 1,152,921,504,606,846,976 bytes"),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "it has only 0 bytes"),
    "empty settings": (lambda folder: (folder / "config.json").write_bytes(b""), "config.json is damaged"),
    "no settings": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "settings in a folder": (make_config_a_folder, "has no config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    "weights in a folder": (make_weights_a_folder, "has no weights"),
    "pickle": (pickle_weights, "pytorch_model.bin is a pickle"),
    "architecture": (lambda folder: (folder / "config.json").write_text('{"model_type": "x"}'), "unknown model_type"),
    "tokenizer": (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff"), "tokenizer.json"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
}


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_source_is_one_line_and_leaves_nothing(
    name: str, shared: tuple[GPT, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, says = DAMAGES[name]
    source = tmp_path / "model"
    shutil.copytree(shared[1], source)
    if name != "flipped":  # what only the checksums can tell
        (source / "manifest.json").unlink()
    damage(source)
    assert says in fail(["import", str(source), "--out", str(tmp_path / "run")], capsys, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_imported_run_is_not_written_over(
    imported: Path, shared: tuple[GPT, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = fail(["import", str(shared[1]), "--out", str(imported)], capsys, 2)
    assert "holds an imported model; give another --out" in line
    assert "is a run folder already; use it as it is" in fail(["import", str(imported), "--out", "x"], capsys, 2)


def test_a_failure_half_way_leaves_nothing(
    shared: tuple[GPT, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_to_save(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device", "model.safetensors")

    monkeypatch.setattr(import_run_module, "save_checkpoint", fail_to_save)
    assert "the disk is full" in fail(["import", str(shared[1]), "--out", str(tmp_path / "run")], capsys, 1)
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy_and_names_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--help"]) == 0
    assert "huggingface" in capsys.readouterr().out
    assert run(["import", "--help"]) == 0
    assert "run folder" in capsys.readouterr().out


def test_shapes_of_the_tests_are_those_of_the_families() -> None:
    assert len(set(OURS.values())) == len(OURS)
