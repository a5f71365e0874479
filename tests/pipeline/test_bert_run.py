"""Whole runs of BERT through the command line: text to a model that fills gaps; stopped and continued; both tasks."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from tests.pipeline.conftest import TINY, fail, unfinished_copy

BERT = [*TINY, "--model.architecture=bert"]
LAST = "checkpoints/step-00000060/model.safetensors"


@pytest.fixture(scope="module")
def bert_run(tmp_path_factory: pytest.TempPathFactory, text_folder: Path) -> Path:
    out = tmp_path_factory.mktemp("bert") / "whole"
    assert run(["train", str(text_folder), "--out", str(out), *BERT]) == 0
    return out


def records_of(run_folder: Path, kind: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_the_result_tells_right_answers_beside_those_of_frequencies_and_no_bits(bert_run: Path) -> None:
    result = json.loads((bert_run / "result.json").read_text())
    assert result["bits_per_byte"] is None
    assert result["tokens_seen"] == 60 * 4 * 32  # tokens read, not tokens told
    assert 0 < result["validation_accuracy"] < 1 and 0 < result["validation_unigram_accuracy"] < 1
    validations = records_of(bert_run, "validation")
    assert validations[-1]["loss"] < validations[0]["loss"] < math.log(400)
    assert validations[-1]["loss"] < 1.1 * result["validation_unigram_loss"]
    assert all("bits_per_byte" not in one and one["accuracy"] >= 0 for one in validations)
    manifest = json.loads((bert_run / "tokens" / "manifest.json").read_text())["splits"]["validation"]
    assert result["validation_tokens"] == manifest["tokens"] - manifest["documents"]


def test_the_report_says_so_in_its_own_unit(bert_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (bert_run / "report.html").read_text("utf-8")
    for words in (
        "nats per masked token",
        "self-attention, both ways",
        "in text that it has never seen",
        "--fill",
        "[MASK]",
    ):
        assert words in page, words
    for words in ("bits per byte, shorter", "homespun chat", "causal", "look back"):
        assert words not in page, words
    capsys.readouterr()
    assert run(["report", str(bert_run)]) == 0
    told = capsys.readouterr().out
    assert "nats per masked token" in told and "bits per byte" not in told
    assert run(["runs", str(bert_run.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["bits_per_byte"] is None


def test_samples_show_a_gap(bert_run: Path) -> None:
    samples = [json.loads(line) for line in (bert_run / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {30, 60}
    assert all("[MASK]" in sample["text"] and "%" in sample["text"] for sample in samples)


def test_gaps_are_filled_from_the_command_line(
    bert_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    text = "def [MASK](self, [MASK]):"
    assert run(["generate", str(bert_run), "--fill", text, "--top", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prompt"] == text and [len(gap) for gap in found["gaps"]] == [3, 3]
    assert found["text"].startswith("def") and "MASK" not in found["text"]
    assert run(["generate", str(bert_run), "--fill", text]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == found["text"] and told[1] == "gap 1:" and len(told) == 1 + 2 * 6
    assert re.fullmatch(r" +\d+\.\d%  \".*\"", told[2])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "RUN"], "fills gaps in texts: homespun generate RUN --fill"),
        (["generate", "RUN", "--prompt", "The"], "fills gaps in texts"),
        (["chat", "RUN"], "fills gaps in texts"),
        (["generate", "RUN", "--fill", "The"], "no [MASK] in 'The'"),
        (["generate", "RUN", "--fill", "The [MASK]", "--prompt", "The"], "not both"),
        (["generate", "RUN", "--fill", "The [MASK]", "--top", "0"], "--top"),
        (["generate", "RUN", "--fill", "The [MASK]", "--temperature", "0.5"], "leave out the rules of choice"),
        (["generate", "RUN", "--top", "3"], "--top is for --fill"),
    ],
)
def test_what_it_does_not_do_is_one_line(
    bert_run: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fail([argument.replace("RUN", str(bert_run)) for argument in arguments], capsys, code=2)
    assert words.replace("RUN", str(bert_run)) in found


def test_a_text_too_long_is_one_line(bert_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "sees 30 at once" in fail(["generate", str(bert_run), "--fill", "?!" * 40 + "[MASK]"], capsys)


def test_other_models_fill_no_gaps(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "continues texts" in fail(["generate", str(finished_run), "--fill", "The [MASK]"], capsys, code=2)


def test_a_run_that_goes_on_ends_with_the_same_bits(bert_run: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(bert_run, tmp_path)
    for checkpoint in (copy / "checkpoints").iterdir():
        if checkpoint.name == "step-00000060":
            shutil.rmtree(checkpoint)
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / LAST) == sha256_of_file(bert_run / LAST)
    steps = [[(one["step"], one["loss"]) for one in records_of(folder, "validation")] for folder in (copy, bert_run)]
    assert steps[0] == steps[1]


def test_pairs_of_texts(tmp_path: Path, text_folder: Path) -> None:
    out = tmp_path / "pairs"
    options = ["--model.next-sentence", "--training.workers=1", "--training.micro-batch-size=2", "--model.dropout=0.1"]
    assert run(["train", str(text_folder), "--out", str(out), *BERT, *options]) == 0
    result = json.loads((out / "result.json").read_text())
    assert 0 <= result["validation_next_sentence_accuracy"] <= 1
    assert "told from a chance one" in (out / "report.html").read_text("utf-8")
    assert run(["generate", str(out), "--fill", "return [MASK]"]) == 0


def test_a_planned_run(tmp_path: Path, text_folder: Path, own_cache: None, capsys: pytest.CaptureFixture[str]) -> None:
    """By tokens: the steps follow, and what is measured are steps of this model."""
    out = tmp_path / "planned"
    options = [option for option in BERT if not option.startswith(("--training.steps", "--training.attention"))]
    assert run(["build", str(text_folder), "--tokens", "5000", "--out", str(out), *options]) == 0
    captured = capsys.readouterr()
    assert "--fill" in captured.out and "homespun chat" not in captured.out
    assert json.loads((out / "result.json").read_text())["steps"] == round(5000 / (4 * 32))


def test_a_rate_can_be_searched_for(bert_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rate", str(bert_run), "--steps", "12"]) == 0
    assert "--training.learning-rate" in capsys.readouterr().out
