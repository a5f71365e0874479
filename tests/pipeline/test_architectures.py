"""Every architecture that learns from running text goes the whole way through the command line, and on from a kill."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from homespun.models.settings import SETTINGS

OTHERS = [name for name, kind in SETTINGS.items() if kind.task == "next_token" and name != "gpt"]
EVERY = pytest.mark.parametrize("name", OTHERS)


def options_of(name: str, tiny: list[str]) -> list[str]:
    """Tiny, without the settings that this architecture does not have."""
    known = {f"--model.{field.name.replace('_', '-')}" for field in fields(SETTINGS[name])}
    kept = [option for option in tiny if not option.startswith("--model.") or option.partition("=")[0] in known]
    return [*kept, f"--model.architecture={name}"]


@EVERY
def test_the_whole_way_and_on_after_a_kill(
    name: str, text_folder: Path, tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", str(text_folder), "--out", str(out), *options_of(name, tiny)]) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "validation"]
    assert losses[-1] < losses[0]
    assert f'architecture = "{name}"' in (out / "config.toml").read_text("utf-8")
    assert (out / "samples.jsonl").stat().st_size > 0
    capsys.readouterr()
    assert run(["generate", str(out), "--prompt", "def ", "--maximum-tokens", "40", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("def ")

    killed = tmp_path / "killed"
    shutil.copytree(out, killed)
    (killed / "result.json").unlink()
    last = sorted((killed / "checkpoints").iterdir())[-1]
    weights = sha256_of_file(last / "model.safetensors")
    shutil.rmtree(last)
    assert run(["train", "--resume", str(killed)]) == 0
    assert sha256_of_file(last / "model.safetensors") == weights


@EVERY
def test_by_minutes_it_is_trained_in_the_shape_that_is_asked_for(
    name: str, text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: None
) -> None:
    monkeypatch.setattr("homespun.pipeline.planning.plan.LEAST_TRAINING_SECONDS", 0.5)  # a busy machine is no failure
    out = tmp_path / "timed"
    small = [f"--model.architecture={name}", "--model.width=32", "--model.layers=1", "--model.context=32"]
    options = [*small, "--training.threads=1", "--training.precision=fp32", "--sampling.maximum-tokens=8"]
    assert run(["build", str(text_folder), "--minutes", "0.4", "--out", str(out), *options]) == 0
    plan = json.loads((out / "plan.json").read_text("utf-8"))
    assert plan["timed"] and not plan["law_applies"]
    assert plan["expected"]["tokens_per_second"] > 0
    assert "model.layers" not in plan["values"]
    assert "width = 32\n" in (out / "config.toml").read_text("utf-8")


@EVERY
def test_a_size_cannot_be_chosen_for_it(name: str, text_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", str(text_folder), "--plan", "--size", "1M", f"--model.architecture={name}"]) == 2
    assert "--size chooses among shapes of gpt only" in capsys.readouterr().err


def test_settings_of_another_architecture_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show", "--model.architecture=lstm", "--model.heads=4"]) == 2
    line = capsys.readouterr().err
    assert "model.heads is no setting of lstm" in line and len(line.splitlines()) == 1
