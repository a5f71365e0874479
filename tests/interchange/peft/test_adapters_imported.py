"""``homespun import --adapter``: a run with the adapter merged, like any other."""

import json
from pathlib import Path

import pytest
import torch

from homespun.cli.main import run
from homespun.inference.load import load_for_inference
from homespun.interchange.huggingface.peft.writing import write_adapter
from homespun.models.adapter import merge
from tests.interchange.adapters import WEIGHTS, random_adapter, write_by_hand
from tests.interchange.conftest import OURS
from tests.interchange.peft.by_hand import assert_same, export, merged, read
from tests.interchange.test_commands import OPTIONS, fail


@pytest.fixture(scope="module")
def imported(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An adapter of ours, and the run that it made of the llama."""
    folder = tmp_path_factory.mktemp("imported")
    write_adapter(random_adapter(OURS["llama"]), OURS["llama"], folder / "mine")
    assert run(["import", str(llama), "--adapter", str(folder / "mine"), "--out", str(folder / "run")]) == 0
    return folder / "mine", folder / "run"


def test_a_merged_run_is_like_any_other(
    llama: Path, imported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, _ = load_for_inference(imported[1], pytest.fail)
    wanted = merged(llama, imported[0])
    assert_same({name: value.detach() for name, value in model.named_parameters()}, wanted)
    record = json.loads((imported[1] / "run.json").read_text())
    assert record["imported"] == {"source": "llama", "format": "huggingface", "adapter": "mine"}
    assert run(["generate", str(imported[1]), *OPTIONS]) == 0
    assert json.loads(capsys.readouterr().out)["text"]
    for target in ("huggingface", "gguf"):
        assert run(["export", str(imported[1]), "--format", target, "--out", str(tmp_path / target)]) == 0
    assert_same(read(tmp_path / "huggingface").tensors, wanted)
    gguf = next((tmp_path / "gguf").glob("*.gguf"))
    assert run(["import", str(gguf), "--adapter", str(imported[0]), "--out", str(tmp_path / "twice"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["adapter_parameters"] == random_adapter(OURS["llama"]).parameters
    twice, _ = load_for_inference(tmp_path / "twice", pytest.fail)
    assert_same(
        {name: value.detach() for name, value in twice.named_parameters()},
        merge(wanted, random_adapter(OURS["llama"])),
    )


def test_the_command_says_what_it_merged(
    llama: Path, imported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import", str(llama), "--adapter", str(imported[0]), "--out", str(tmp_path / "run")]) == 0
    parameters = random_adapter(OURS["llama"]).parameters
    assert f"merged: 21 differences of {parameters:,} parameters" in capsys.readouterr().out


def test_a_wrong_call_gets_one_clear_line(
    llama: Path, imported: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, out = str(imported[0]), ["--out", str(tmp_path / "run")]
    other = export("gpt2", tmp_path / "gpt2")
    assert "there is no folder" in fail(["import", str(llama), "--adapter", str(tmp_path / "no"), *out], capsys, 2)
    assert "has no adapter_config.json" in fail(["import", str(llama), "--adapter", str(llama), *out], capsys, 1)
    line = fail(["import", str(other), "--adapter", mine, *out], capsys, 1)
    assert f"{WEIGHTS}: " in line and "the adapter is for another base" in line
    large = {"model.layers.0.mlp.up_proj": (torch.full((1, 32), 3e38), torch.full((72, 1), 3e38))}
    write_by_hand(tmp_path / "large", large, r=1)
    line = fail(["import", str(llama), "--adapter", str(tmp_path / "large"), *out], capsys, 1)
    assert "large: blocks.0.feedforward.gate_and_widen.weight would have numbers that are not finite" in line
    line = fail(["import", mine, *out], capsys, 2)
    assert "is an adapter without the model that it is for; import that with --adapter" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpt2", "large"]
