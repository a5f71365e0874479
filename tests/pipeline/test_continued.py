"""A base goes on with the texts of a field: what it learns and forgets is measured; on from a kill to the same bits."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file

from homespun.batches.next_token import NextTokenBatches
from homespun.batches.replay import WithReplay
from homespun.batches.shards import TokenShards
from homespun.cli.main import run
from homespun.common.errors import UsageError
from homespun.common.files import sha256_of_file
from homespun.corpus.replay import ReplayConfig
from tests.pipeline.conftest import fail, unfinished_copy

STEPS = 30
OPTIONS = [
    f"--training.steps={STEPS}", "--training.batch-size=8", "--training.learning-rate=3e-3",
    "--training.precision=fp32", "--training.attention=fused", "--training.compile=off", "--training.threads=1",
    "--training.checkpoint-seconds=0", "--sampling.maximum-tokens=12",
]  # fmt: skip
WEIGHTS = f"checkpoints/step-{STEPS:08}/model.safetensors"


@pytest.fixture(scope="module")
def field_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of a field of their own: numbers in words."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    lines = [" ".join(words[int(digit)] for digit in f"{number * 7919 % 10_000:04}") for number in range(2000)]
    path = tmp_path_factory.mktemp("field") / "numbers.txt"
    path.write_text("\n\n".join("\n".join(lines[begin : begin + 20]) for begin in range(0, 2000, 20)), "utf-8")
    return path


def command(base: Path, texts: Path, out: Path, *options: str) -> list[str]:
    return ["finetune", "texts", str(base), str(texts), "--out", str(out), *OPTIONS, *options]


@pytest.fixture(scope="module")
def continued(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, field_file: Path, text_folder: Path
) -> Path:
    out = tmp_path_factory.mktemp("runs") / "numbers"
    assert run(command(finished_run, field_file, out, "--replay", str(text_folder), "--replay-share=0.25")) == 0
    return out


def found(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text("utf-8"))


def test_it_learns_the_field_and_says_what_it_forgot(continued: Path, finished_run: Path) -> None:
    told = found(continued)["continued"]
    assert told["field"]["after"]["loss"] < 0.8 * told["field"]["before"]["loss"]
    assert told["field"]["after"]["loss"] == pytest.approx(found(continued)["validation_loss"])
    # The general text is that of the base, split alike.
    assert told["general"]["before"]["loss"] == pytest.approx(found(finished_run)["validation_loss"], rel=1e-4)
    assert found(continued)["bits_per_byte"] == pytest.approx(told["field"]["after"]["bits_per_byte"])
    assert sha256_of_file(continued / "tokenizer.json") == sha256_of_file(finished_run / "tokenizer.json")


def test_a_step_has_so_many_windows_of_general_text(continued: Path) -> None:
    field, general = (
        NextTokenBatches(TokenShards(folder, "train"), 32, rows, seed=1)
        for folder, rows in ((continued / "tokens", 6), (continued / "replay" / "tokens", 2))
    )
    both = WithReplay(field, general)
    batch = both.batch(3)
    assert batch.inputs.shape == (8, 32)
    assert (batch.inputs[6:] == general.batch(3).inputs).all() and (batch.targets[:6] == field.batch(3).targets).all()
    assert 8 / both.windows == pytest.approx(6 / field.windows, rel=1e-2)
    for processes in (2, 4):
        shares = [WithReplay(field, general, rank, processes).batch(3) for rank in range(processes)]
        assert (torch.cat([share.inputs for share in shares]) == batch.inputs).all()
        assert (torch.cat([share.targets for share in shares]) == batch.targets).all()


@pytest.mark.parametrize(("rows", "share", "wanted"), [(16, 0.2, 3), (2, 0.2, 1), (32, 0.99, 31), (16, 0.0, 0)])
def test_a_step_has_so_many_of_them(rows: int, share: float, wanted: int) -> None:
    assert ReplayConfig(sources=("a",), share=share).rows(rows) == wanted
    assert ReplayConfig(share=share).rows(rows) == 0


def test_a_step_without_room_for_both_is_refused() -> None:
    with pytest.raises(UsageError, match=r"batch_size is 1: .*it must be at least 2"):
        ReplayConfig(sources=("a",)).rows(1)


@pytest.mark.parametrize("kept", [0, 1])
def test_it_goes_on_to_the_same_bits(kept: int, continued: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(continued, tmp_path)
    for checkpoint in sorted((copy / "checkpoints").iterdir())[kept:]:
        shutil.rmtree(checkpoint)
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / WEIGHTS) == sha256_of_file(continued / WEIGHTS)
    assert found(copy)["continued"] == found(continued)["continued"]


def test_what_is_forgotten_without_replay_is_measured(
    finished_run: Path, field_file: Path, text_folder: Path, tmp_path: Path
) -> None:
    general = ["--replay", str(text_folder), "--replay-share=0"]
    assert run(command(finished_run, field_file, tmp_path / "forgets", *general)) == 0
    assert run(command(finished_run, field_file, tmp_path / "alone")) == 0
    assert sha256_of_file(tmp_path / "forgets" / WEIGHTS) == sha256_of_file(tmp_path / "alone" / WEIGHTS)
    told = found(tmp_path / "forgets")["continued"]
    assert told["field"] == found(tmp_path / "alone")["continued"]["field"]
    assert told["general"]["after"]["loss"] > told["general"]["before"]["loss"] + 0.1


def test_differences_alone_and_no_replay(finished_run: Path, field_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "lora"
    assert run(command(finished_run, field_file, out, "--train=lora", "--model.lora-rank=2")) == 0
    told = found(out)["continued"]
    assert set(told) == {"field"} and told["field"]["after"]["loss"] < told["field"]["before"]["loss"]
    assert all(name.endswith((".up", ".down")) for name in load_file(out / WEIGHTS))
    assert run(["generate", str(out), "--prompt", "one", "--maximum-tokens=3"]) == 0


def test_the_report_tells_of_it(continued: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(continued)]) == 0
    assert "bits for each byte" in capsys.readouterr().out
    page = (continued / "report.html").read_text("utf-8")
    for words in ("Learned and forgotten", "general text", "finetune texts"):
        assert words in page, words
    assert "Could not read" not in page


def test_what_is_done_is_kept_when_something_else_is_refused(
    finished_run: Path, field_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, general = tmp_path / "out", tmp_path / "general.txt"
    general.write_text("")
    arguments = command(finished_run, field_file, out, "--replay", str(general))
    assert "0 characters" in fail(arguments, capsys)
    assert (out / "tokens" / "manifest.json").exists()
    shutil.copyfile(field_file, general)
    assert run(["train", "--resume", str(out)]) == 0


def test_what_cannot_be_is_one_line(
    finished_run: Path, field_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "no FILE" in fail(["finetune", "texts", str(finished_run)], capsys, 2)
    replay = ["--replay", str(tmp_path / "absent")]
    assert "absent" in fail(command(finished_run, field_file, out, *replay), capsys, 2)
    assert not out.exists()  # said before anything is made
    (tmp_path / "empty.txt").write_text("")
    replay = ["--replay", str(tmp_path / "empty.txt")]
    assert "replay.sources: the sources hold 0 characters" in fail(
        command(finished_run, field_file, out, *replay), capsys
    )
    kept = [option for option in command(finished_run, field_file, tmp_path / "one", *replay[:1], str(field_file))
            if "batch-size" not in option]  # fmt: skip
    assert "no room for the field's text" in fail([*kept, "--training.batch-size=1"], capsys, 2)
    with pytest.raises(UsageError, match=r"replay\.share"):
        ReplayConfig(share=1.0)
