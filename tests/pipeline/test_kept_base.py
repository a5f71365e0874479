"""Checkpoints hold what a finetuning moves, the base is kept once beside them: put together, checked, as before."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from homespun.cli.main import run
from homespun.common.files import read_json, sha256_of_file, write_json
from homespun.inference.load import load_newest
from homespun.models.settings import model_settings
from homespun.models.stored import held_still, stored_tensors
from homespun.training.checkpoint import write_tensors
from homespun.training.kept_base import load_model
from tests.pipeline.conftest import fail, unfinished_copy
from tests.pipeline.test_classification import COLUMNS, write_table

STEPS = 4
FIRST, LAST = (f"checkpoints/step-{step:08}" for step in (2, STEPS))
OPTIONS = [
    f"--training.steps={STEPS}", "--training.batch-size=8", "--training.learning-rate=3e-3",
    "--training.precision=fp32", "--training.attention=fused", "--training.compile=off", "--training.threads=1",
    "--training.checkpoint-seconds=0", "--training.keep-checkpoints=9", "--training.evaluate-every=2",
]  # fmt: skip
WAYS = {
    "head": [],
    "last-layers": [],
    "lora": ["--model.lora-rank=2"],
    "lora in four bits": ["--model.lora-rank=2", "--model.base-bits=4", "--training.average-decay=0.5"],
}
MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"


def command(base: Path, table: Path, out: Path, way: str) -> list[str]:
    more = [f"--train={way.partition(' ')[0]}", *WAYS.get(way, []), *OPTIONS]
    return ["finetune", "classify", str(base), str(table), *COLUMNS, "--out", str(out), *more]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("tables") / "kinds.jsonl", 40)


@pytest.fixture(scope="module", params=WAYS)
def finetuned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, finished_run: Path, table: Path
) -> Path:
    out = tmp_path_factory.mktemp("finetuned") / "run"
    assert run(command(finished_run, table, out, request.param)) == 0
    return out


def model_of(checkpoint: Path) -> Any:
    return load_model(checkpoint, model_settings(read_json(checkpoint / "config.json")))


def as_before_version_3(folder: Path) -> None:
    """The checkpoints of a run as they were when they held the base as well."""
    for checkpoint in (folder / "checkpoints").iterdir():
        write_tensors({name: one.detach() for name, one in stored_tensors(model_of(checkpoint)).items()},
                      checkpoint / "whole.safetensors")  # fmt: skip
        (checkpoint / "whole.safetensors").rename(checkpoint / MODEL)
        sums = read_json(checkpoint / "manifest.json")["sha256"] | {MODEL: sha256_of_file(checkpoint / MODEL)}
        write_json(checkpoint / "manifest.json", {"format": 2, "sha256": sums})


def test_a_checkpoint_and_the_base_are_the_model(finetuned: Path) -> None:
    model, base = model_of(finetuned / LAST), load_file(finetuned / "base" / MODEL)
    still, stored = held_still(model), stored_tensors(model)
    held = load_file(finetuned / LAST / MODEL)
    assert held.keys() == stored.keys() - still and all(torch.equal(stored[name], held[name]) for name in held)
    assert read_json(finetuned / LAST / "manifest.json")["left_out"] == sorted(still)
    same = [name for name in still if name.removeprefix("body.") in base]
    assert same and all(torch.equal(stored[name], base[name.removeprefix("body.")]) for name in same)
    moving = load_file(finetuned / LAST / OPTIMIZER)
    assert {name.split("/")[1] for name in moving if name.startswith(("optimizer/", "average/"))} == held.keys()


def test_it_goes_on_to_the_same_bits(finetuned: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(finetuned, tmp_path)
    shutil.rmtree(copy / LAST)
    assert run(["train", "--resume", str(copy)]) == 0
    for name in (MODEL, OPTIMIZER):
        assert sha256_of_file(copy / LAST / name) == sha256_of_file(finetuned / LAST / name)


def test_checkpoints_that_hold_everything_go_on_being_read(finetuned: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(finetuned, tmp_path)
    as_before_version_3(copy)
    shutil.rmtree(copy / LAST)
    assert run(["train", "--resume", str(copy)]) == 0
    for name in (MODEL, OPTIMIZER):
        assert sha256_of_file(copy / LAST / name) == sha256_of_file(finetuned / LAST / name)
    as_before_version_3(copy)
    shutil.rmtree(copy / "base")  # nobody needs it to use them
    _, whole = load_newest(copy, "labelled texts", pytest.fail)
    assert all(torch.equal(one, stored_tensors(model_of(finetuned / LAST))[name])
               for name, one in stored_tensors(whole).items())  # fmt: skip


def test_a_base_that_is_missing_or_another_is_one_line(
    finetuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = unfinished_copy(finetuned, tmp_path)
    file = copy / "base" / MODEL
    wanted, raw = sha256_of_file(file)[:12], bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    use = ["classify", str(copy), "some text"]
    told = fail(use, capsys)
    assert f"{file} is damaged or another base" in told and wanted in told and sha256_of_file(file)[:12] in told
    file.unlink()
    told = fail(use, capsys)
    assert f"the base is missing: put {file} back" in told and wanted in told
    assert f"{file} is missing" in fail(["train", "--resume", str(copy)], capsys)


def test_the_base_is_the_same_bytes_and_outlives_the_run_it_came_from(
    finished_run: Path, table: Path, tmp_path: Path
) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    shutil.copytree(finished_run, base)
    newest = max((base / "checkpoints").iterdir())
    assert run(command(base, table, out, "head")) == 0
    assert (out / "base" / MODEL).samefile(newest / MODEL)
    shutil.rmtree(base)
    assert run(["classify", str(out), "def value:"]) == 0


def test_where_there_are_no_links_it_is_a_copy(
    finished_run: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(source))

    monkeypatch.setattr("os.link", refuse)
    assert run(command(finished_run, table, tmp_path / "out", "head")) == 0
    newest = max((finished_run / "checkpoints").iterdir())
    assert not (tmp_path / "out" / "base" / MODEL).samefile(newest / MODEL)
    assert (tmp_path / "out" / "base" / MODEL).read_bytes() == (newest / MODEL).read_bytes()


def test_finetuned_in_full_nothing_is_left_out(finished_run: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(command(finished_run, table, out, "full")) == 0
    assert "left_out" not in json.loads((out / LAST / "manifest.json").read_text("utf-8"))
    base = load_file(out / "base" / MODEL)
    assert {f"body.{name}" for name in base} | {"head.weight", "head.bias"} == load_file(out / LAST / MODEL).keys()
