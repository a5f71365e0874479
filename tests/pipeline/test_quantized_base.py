"""A base in 4 bits learns to answer by differences alone: the whole way, on from a kill, and what is left behind."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from homespun.cli.main import run
from homespun.common.files import read_json, sha256_of_file
from homespun.inference.load import load_for_inference
from homespun.interchange.huggingface.peft.reading import read_adapter
from homespun.layers.quantized import QuantizedMatrix
from homespun.models.adapter import adapter_of
from homespun.models.settings import model_settings
from homespun.training.kept_base import load_model
from tests.pipeline.conftest import fail, unfinished_copy
from tests.pipeline.test_answering import STEPS, WEIGHTS, files, instructions, preferences, result_of  # noqa: F401

FOUR_BITS = ("--train=lora", "--model.lora-rank=4", "--model.base-bits=4")


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory, finished_run: Path, files: Path) -> Path:  # noqa: F811
    out = tmp_path_factory.mktemp("runs") / "quantized"
    assert run(instructions(finished_run, files, out, *FOUR_BITS)) == 0
    return out


def as_it_was_trained(folder: Path) -> Any:
    """The model of the run's last checkpoint, with its differences beside its matrices."""
    checkpoint = (folder / WEIGHTS).parent
    return load_model(checkpoint, model_settings(read_json(checkpoint / "config.json"))).eval()


def test_it_learns(quantized: Path) -> None:
    lines = [json.loads(line) for line in (quantized / "metrics.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0] / 2 and result_of(quantized)["validation_loss"] < losses[0] / 2


def test_its_checkpoints_leave_out_the_packed_base_which_is_packed_again(quantized: Path) -> None:
    weights, left_out = load_file(quantized / WEIGHTS), read_json((quantized / WEIGHTS).with_name("manifest.json"))
    codes = "body.blocks.1.feedforward.gate_and_widen.weight.codes"
    matrix = load_file(quantized / "base" / "model.safetensors")["blocks.1.feedforward.gate_and_widen.weight"]
    assert all(name.endswith((".up", ".down", ".rows")) for name in weights) and codes in left_out["left_out"]
    packed = as_it_was_trained(quantized).get_buffer(codes)
    assert packed.dtype == torch.uint8 and 2 * packed.numel() - matrix.numel() in range(64)
    assert torch.equal(QuantizedMatrix(matrix, 4).codes, packed)
    table = {one["name"]: one for one in json.loads((quantized / "model.json").read_text("utf-8"))["table"]}
    assert table["body.blocks.1.feedforward.gate_and_widen.weight"]["shape"] == list(matrix.shape)


@pytest.mark.parametrize("kept", [0, 1])
def test_it_goes_on_to_the_same_bits(kept: int, quantized: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(quantized, tmp_path)
    for checkpoint in sorted((copy / "checkpoints").iterdir())[kept:]:
        shutil.rmtree(checkpoint)
    assert run(["train", "--resume", str(copy)]) == 0
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = ((folder / WEIGHTS).with_name(name) for folder in (copy, quantized))
        assert sha256_of_file(ours) == sha256_of_file(theirs)
    assert result_of(copy)["answers"] == result_of(quantized)["answers"]


def test_what_is_left_is_a_plain_model_that_computes_what_was_trained(quantized: Path, tmp_path: Path) -> None:
    unmerged = as_it_was_trained(quantized)
    merged, _ = load_for_inference(quantized, print)
    assert {value.dtype for value in merged.state_dict().values()} == {torch.float32}
    tokens = torch.randint(merged.config.vocabulary_size, (2, 32), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(merged(tokens), unmerged.body(tokens), rtol=1e-5, atol=1e-5)
    assert run(["export", str(quantized), "--format", "safetensors", "--out", str(tmp_path / "shared")]) == 0
    assert run(["generate", str(quantized), "--prompt", "Say", "--maximum-tokens=3"]) == 0


def test_its_differences_are_an_adapter_as_any_other(quantized: Path, tmp_path: Path) -> None:
    assert run(["export", str(quantized), "--format", "peft", "--out", str(tmp_path / "adapter")]) == 0
    body = as_it_was_trained(quantized).body
    found = read_adapter(tmp_path / "adapter", body.config, load_file(quantized / "base" / "model.safetensors"))
    ours, theirs = (
        {(one.tensor, one.first_row): one.matrix() for one in adapter.differences}
        for adapter in (adapter_of(body), found)
    )
    assert ours.keys() == theirs.keys() and any(bool(matrix.any()) for matrix in ours.values())
    for place, matrix in ours.items():
        torch.testing.assert_close(theirs[place], matrix, rtol=0, atol=1e-6)


def test_preferences_are_measured_against_the_base_as_it_is_held(
    finished_run: Path,
    files: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    still = ("--training.steps=1", "--training.learning-rate=1e-12")
    assert run(preferences(finished_run, files, tmp_path / "out", *FOUR_BITS, *still)) == 0
    result = result_of(tmp_path / "out")
    assert result["validation_loss"] == pytest.approx(0.6931471805599453, abs=1e-5)
    assert abs(result["validation_margin"]) < 1e-5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model.base-bits=4"], "model.base_bits is 4"),
        (["--train=last-layers", "--model.base-bits=8"], "add --train lora"),
        (["--train=lora", "--model.base-bits=5"], "base-bits"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str],
    said: str,
    finished_run: Path,
    files: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = fail(instructions(finished_run, files, tmp_path / "out", *options), capsys, 2)
    assert said in told or said.replace("-", "_") in told
