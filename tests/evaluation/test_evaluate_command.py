"""``homespun evaluate`` on a run that was really trained: figures, records, the report, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.main import run
from homespun.evaluation.kinds import KINDS
from homespun.report.read_run import read_run
from homespun.report.write import write_report


@pytest.fixture
def folder(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, in a folder of its own."""
    shutil.copytree(finished_run, tmp_path / "whole")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "whole"


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The record that the command prints."""
    capsys.readouterr()
    assert run(["evaluate", *arguments, "--json", "--device", "cpu"]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a call that is refused."""
    capsys.readouterr()
    assert run(["evaluate", *arguments, "--device", "cpu"]) in (1, 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("homespun:")]
    return line


def test_the_validation_text_gives_the_figures_of_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = evaluated(capsys, "whole", "--task", "validation")
    values = {figure["name"]: figure for figure in record["figures"]}
    result = json.loads((folder / "result.json").read_text())
    assert values["loss"]["value"] == pytest.approx(result["validation_loss"], rel=1e-6)
    assert values["bits per byte"]["value"] == pytest.approx(result["bits_per_byte"], rel=1e-6)
    assert values["loss"]["low"] < values["loss"]["value"] < values["loss"]["high"]
    assert json.loads((folder / "evaluations" / "validation.json").read_text()) == record
    assert record["checkpoint"] == "step-00000060" and record["kind"] == "text"


def test_a_task_of_ones_own_from_the_file_to_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.jsonl").write_text('{"x": "de<b>", "y": "f"}\n{"x": "retur", "y": "n"}\n{"x": "impor", "y": "t"}\n')
    Path("mine.toml").write_text('[task]\nkind = "cloze"\ndata = "mine.jsonl"\nprompt = "{x}"\nanswer = "{y}"\n')
    assert run(["evaluate", "whole", "--task", "mine.toml", "--shots", "2", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "exact match" in out and "95 % interval" in out and "  | " in out and "mine, 2 examples shown" in out
    record = json.loads((folder / "evaluations" / "mine-2-shot.json").read_text())
    assert record["shots"] == 2 and record["data"] == "mine.jsonl" and len(record["data_sha256"]) == 64
    assert record["settings"]["prompt"] == "{x}"
    page = (folder / "report.html").read_text()
    assert "mine, 2 examples shown" in page and "perplexity of an answer" in page and "de&lt;b&gt;" in page
    assert "de<b>" not in page


def test_two_runs_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(folder, "other")
    record = evaluated(capsys, "whole", "--task", "agreement", "--limit", "30", "--against", "other")
    assert record["against"]["name"] == "other"
    accuracy, margin = record["against"]["differences"]
    assert accuracy["test"] == "McNemar, exact" and margin["test"] == "paired bootstrap"
    assert accuracy["p"] == margin["p"] == 1.0 and margin["difference"] == 0
    assert run(["evaluate", "whole", "--task", "agreement", "--against", "other", "--device", "cpu"]) == 0
    assert "difference" in capsys.readouterr().out and "difference" in (folder / "report.html").read_text()


def test_the_same_call_gives_the_same_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ("whole", "--task", "copy", "--limit", "20", "--shots", "3", "--seed", "4")
    first, second = evaluated(capsys, *call), evaluated(capsys, *call)
    assert {**first, "created": ""} == {**second, "created": ""}


@pytest.mark.parametrize("task", ["memorization", "variety", "addition"])
def test_other_tasks_brought_along(
    folder: Path, capsys: pytest.CaptureFixture[str], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = evaluated(capsys, "whole", "--task", task, "--limit", "4")
    assert record["figures"] and record["kind"] in KINDS


def test_contamination_and_canaries_of_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = folder.parent / "seen.txt"
    from homespun.corpus.shards import read_texts

    words.write_text(next(read_texts(folder / "corpus" / "train-00000.parquet"))[:2000].replace("\n", " "))
    record = evaluated(capsys, "whole", "--task", "contamination", "--data", "seen.txt")
    assert record["figures"][0]["value"] == 1.0
    Path("c.jsonl").write_text('{"prompt": "The code is", "secret": "12345"}\n')
    exposure = evaluated(capsys, "whole", "--task", "canaries", "--data", "c.jsonl")["figures"][2]
    assert exposure["name"] == "exposure" and 0 <= exposure["value"] < 9.97


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["whole", "--task", "agreemint"], "unknown task agreemint; did you mean agreement?"),
        (["nowhere", "--task", "copy"], "no run folder nowhere"),
        (["whole", "--task", "copy", "--against", "nowhere"], "no run folder nowhere"),
        (["whole", "--task", "copy", "--shots", "-1"], "--shots is -1"),
        (["whole", "--task", "copy", "--limit", "-1"], "--limit is -1"),
        (["whole", "--task", "copy", "--shots", "500"], "only 150 different examples"),
        (["whole", "--task", "lambada"], "name a file with --data"),
        (["whole", "--task", "lambada", "--data", "absent.jsonl"], "there is no file"),
        (["whole", "--task", "lambada", "--data", "bad.jsonl"], "bad.jsonl, line 2: not JSON"),
        (["whole", "--task", "contamination", "--data", "bad.jsonl", "--against", "whole"], "no model is asked"),
        (["whole", "--task", "long.toml"], "is longer than the 32 tokens"),
        (["whole"], "--task"),
    ],
)
def test_a_wrong_call_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    Path("bad.jsonl").write_text('{"text": "a b"}\n{"text": \n')
    Path("long.jsonl").write_text('{"q": "a", "a": "' + "word " * 200 + '"}\n')
    Path("long.toml").write_text('[task]\nkind="cloze"\ndata="long.jsonl"\nprompt="{q}"\nanswer="{a}"\n')
    assert words in complaint(capsys, *arguments)
    assert not (folder / "evaluations").exists()


@pytest.mark.parametrize(
    ("command", "meanwhile"),
    [
        (["evaluate", "whole", "--task", "copy"], "homespun.evaluation.likelihood.Scorer.of_group"),
        (["config", "show", "--run", "whole"], "homespun.pipeline.run_folder.RunFolder.record"),
    ],
)
def test_interrupted_it_says_so_and_leaves_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    meanwhile: str,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(meanwhile, interrupt)
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    assert run(command) == 130
    assert [line for line in capsys.readouterr().err.splitlines() if "homespun:" in line] == ["homespun: interrupted"]
    assert sorted(folder.rglob("*")) == before


def test_an_imported_run_has_no_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "corpus")
    assert "has no text in it" in complaint(capsys, "whole", "--task", "validation")
    assert evaluated(capsys, "whole", "--task", "agreement", "--limit", "5")["figures"]


def with_another_model(folder: Path, architecture: str) -> None:
    """A run folder has a checkpoint of a small model of this architecture instead of its own."""
    from homespun.common.configuration import flatten
    from homespun.models.registry import build_model
    from homespun.models.settings import SETTINGS
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.training.checkpoint import Snapshot, TrainingState, save_checkpoint
    from homespun.training.execution import Execution

    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    more = {"vocabulary_size": tokenizer.vocabulary_size} if architecture == "bert" else {}
    config = SETTINGS[architecture](layers=1, width=32, **more)
    weights = {name: weight.detach() for name, weight in build_model(config).named_parameters()}
    shutil.rmtree(folder / "checkpoints")
    documents = {"config.json": flatten(config), "made_with.json": {}}
    save_checkpoint(folder / "checkpoints", Snapshot(weights, {}, TrainingState(0, 0, 0, 0.0, Execution())), documents,
                    folder / "tokenizer.json", 1)  # fmt: skip


@pytest.mark.parametrize(("architecture", "words"), [("bert", "fills gaps in texts"), ("vit", "reads images")])
def test_models_that_do_not_continue_texts(
    folder: Path, capsys: pytest.CaptureFixture[str], architecture: str, words: str
) -> None:
    with_another_model(folder, architecture)
    assert words in complaint(capsys, "whole", "--task", "agreement")


def test_a_damaged_record_does_not_keep_a_report_from_being_written(folder: Path) -> None:
    records = folder / "evaluations"
    records.mkdir()
    (records / "a.json").write_text("{")
    (records / "b.json").write_text('{"figures": [3, {"value": "x"}], "against": [], "matrix": {"labels": 3}}')
    (records / "c.json").write_text(
        '{"task": "c", "examples": [{"a": {}}], "matrix": {"labels": ["x"], "counts": [3]}}'
    )
    page = write_report(folder).read_text()
    assert "evaluations/a.json (damaged)" in page and len(read_run(folder).evaluations) == 2
