"""A decoder with experts goes the whole way: it learns, uses all of them, is drawn, resumes to the same bits."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from homespun.inference.load import load_for_inference
from homespun.layers.experts import Experts
from tests.pipeline.conftest import fail

EXPERTS = ["--model.experts=4", "--model.expert-width=32"]


def test_the_whole_way_and_on_after_a_kill(
    text_folder: Path, tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", str(text_folder), "--out", str(out), *tiny, *EXPERTS]) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "validation"]
    assert losses[-1] < losses[0]
    assert "4 experts, 2 for a token" in (out / "report.html").read_text("utf-8")
    capsys.readouterr()
    assert run(["generate", str(out), "--prompt", "def ", "--maximum-tokens", "20", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("def ")

    line = fail(["export", str(out), "--format", "huggingface", "--out", str(tmp_path / "shared")], capsys)
    assert "model.experts is 4 and not 0" in line

    model, tokenizer = load_for_inference(out, print)
    shares = []
    for layer in model.modules():
        if isinstance(layer, Experts):
            layer.register_forward_hook(
                lambda module, inputs, _: shares.append(module.route(inputs[0].flatten(0, 1))[1].flatten().bincount())
            )
    with torch.inference_mode():
        model(torch.tensor([tokenizer.encode("".join(map(chr, range(32, 127))))[:32]]))
    assert len(shares) == 2 and all(len(share) == 4 and share.min() > 0 for share in shares)

    killed = tmp_path / "killed"
    shutil.copytree(out, killed)
    (killed / "result.json").unlink()
    last = sorted((killed / "checkpoints").iterdir())[-1]
    weights = sha256_of_file(last / "model.safetensors")
    shutil.rmtree(last)
    assert run(["train", "--resume", str(killed)]) == 0
    assert sha256_of_file(last / "model.safetensors") == weights


def test_estimate_tells_what_a_token_uses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["estimate", "--preset", "mixtral-8x7b", "--tokens", "1e12"]) == 0
    told = capsys.readouterr().out
    assert "46.7 G parameters, 12.9 G of them for a token" in told
    assert "7.73e+22" in told  # 6 x 12.88e9 x 1e12


def test_settings_that_do_not_go_together_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for options, says in (
        (["--model.experts=2", "--model.experts-per-token=3"], "there are only 2 model.experts"),
        (["--model.experts=2", "--model.feedforward=gelu"], "SwiGLU layers without biases"),
        (["--model.experts=2", "--model.biases"], "SwiGLU layers without biases"),
        (["--model.experts=-1"], "must be at least 0"),
    ):
        assert run(["config", "show", *options]) == 2
        assert says in capsys.readouterr().err
