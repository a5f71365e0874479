"""A build that goes on to an assistant: the whole way, stopped anywhere, in one result; and where it does not."""

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from homespun.pipeline.assistant import is_usual, with_time_kept
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.run_folder import RunFolder
from homespun.report.runs import find_runs
from homespun.training.dial import Dial
from tests.pipeline.conftest import TINY, fail
from tests.pipeline.test_runs import start, with_option

BASE_WEIGHTS = "checkpoints/step-00000060/model.safetensors"
MORE = ["--assistant", "--tokens=50k", "--model.context=64", "--conversations.epochs=2"]
OPTIONS = [*(option for option in TINY if not option.startswith("--model.context")), *MORE]


@pytest.fixture(scope="module")
def code_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some code of one's own, in which functions say what they do."""
    folder = tmp_path_factory.mktemp("code")
    for number, verb in enumerate(("add", "take", "count", "show", "hide", "keep")):
        functions = [
            f'def {verb}_{noun}(self, {noun}):\n    """{verb.title()} the {noun} of this thing."""\n'
            f"    return self.{verb}({noun})\n"
            for noun in ("names", "words", "lines", "files", "times", "parts", "rows")
        ]
        (folder / f"{verb}.py").write_text("\n\n".join(functions) + f"\nORDER = {number}\n", "utf-8")
    return folder


def build(sources: Path, out: Path, *more: str) -> list[str]:
    return ["build", str(sources), "--out", str(out), *OPTIONS, *more]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, code_folder: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert run(build(code_folder, out)) == 0
    return out


def results(folder: Path) -> dict[str, Any]:
    """What must not depend on where a run was stopped."""
    assistant = folder / "assistant"
    (weights,) = [sorted(assistant.glob("checkpoints/*/model.safetensors"))[-1]]
    result = json.loads((assistant / "result.json").read_text("utf-8"))
    return {
        "base": sha256_of_file(folder / BASE_WEIGHTS),
        "weights": (weights.parent.name, sha256_of_file(weights)),
        **{key: result[key] for key in ("before", "validation_loss", "answers")},
        **{file.name: sha256_of_file(file) for file in (folder / "questions").iterdir()},
    }


def test_the_assistant_has_learned_from_the_functions(built: Path) -> None:
    result = json.loads((built / "assistant" / "result.json").read_text("utf-8"))
    assert result["validation_loss"] < result["before"]["loss"]
    assert result["before"]["tokens"] == result["validation_tokens"]
    manifest = json.loads((built / "assistant" / "conversations" / "manifest.json").read_text("utf-8"))
    assert manifest["splits"]["train"]["entries"] == 76 and manifest["splits"]["validation"]["entries"] == 8
    record = json.loads((built / "assistant" / "run.json").read_text("utf-8"))
    assert "training.learning_rate" not in record["asked"]  # it follows the conversations, as for everybody
    assert record["asked"]["sampling.temperature"] == 0.3
    assert record["name"] == "whole/assistant" and record["state"] == "finished"
    assert record["origins"]["training.precision"] == "base"


def test_the_last_words_are_of_both(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["train", "--resume", str(built)]) == 0
    told = capsys.readouterr()
    assert f"go on:  homespun chat {built / 'assistant'}" in told.out
    assert "before it learned" in told.out and told.err.count("the assistant") == 4
    assert run(["build", "--out", str(built), "--resume", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "whole" and facts["bits_per_byte"] > 0 and "assistant" in facts
    assistant = facts["assistant"]
    assert assistant["finished"] and assistant["loss_before"] > assistant["validation_loss"]
    assert assistant["report"] == str(built / "assistant" / "report.html")
    assert {"question", "expected", "told"} == set(assistant["answers"][0])


def test_it_is_a_run_as_any_other(
    built: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    typed = iter(["Explain add.add_names(names)."])
    monkeypatch.setattr("builtins.input", lambda prompt="": typed_line(typed))
    assert run(["chat", str(built / "assistant"), "--maximum-tokens=5"]) == 0
    assert "This model answers" in capsys.readouterr().err
    assert run(["generate", str(built), "--prompt", "def ", "--maximum-tokens=3"]) == 0
    assert find_runs([built.parent]) == [built, built / "assistant"]
    assert run(["runs", str(built.parent), "--json"]) == 0
    page = (built / "report.html").read_text("utf-8")
    assert 'href="assistant/report.html"' in page and f"homespun chat {built}/assistant" in page
    assert "nats per answer token before" in page
    again = ["finetune", "instructions", str(built), str(built / "questions" / "train.jsonl")]
    assert run([*again, "--config", str(built / "assistant" / "config.toml"), "--out", str(tmp_path / "again")]) == 0
    one, other = (json.loads((path / "result.json").read_text()) for path in (tmp_path / "again", built / "assistant"))
    assert one["validation_loss"] == other["validation_loss"]


def typed_line(lines: Any) -> str:
    for line in lines:
        return line
    raise EOFError


TRAINED = ["plan.json", "result.json", "checkpoints"]
STOPPED = {
    "before the questions": ["questions", "corpus", "tokens", "assistant", *TRAINED],
    "behind the questions": ["corpus", "tokenizer.json", "tokens", "assistant", *TRAINED],
    "inside the first": ["result.json", "assistant", f"{Path(BASE_WEIGHTS).parent}"],
    "between both": ["assistant"],
    "at the beginning of the second": [f"assistant/{name}" for name in ("base", "rows", *TRAINED)],
    "at the end of the second": ["assistant/result.json", "assistant/report.html"],
}


@pytest.mark.parametrize("moment", STOPPED)
def test_stopped_anywhere_it_goes_on_to_the_same_bits(
    moment: str, built: Path, code_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "whole"
    shutil.copytree(built, copy)
    for name in STOPPED[moment]:
        path = copy / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if moment == "at the beginning of the second":
        shutil.rmtree(copy / "corpus")
    assert run(["train", "--resume", str(copy)]) == 0
    assert results(copy) == results(built)


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(built: Path, code_folder: Path, tmp_path: Path) -> None:
    moments, killed = random.Random(20_261_122), tmp_path / "killed"
    arguments = [*build(code_folder, killed), "--resume"]
    for _ in range(3):
        process = start(arguments)
        time.sleep(moments.uniform(2.0, 6.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run(arguments) == 0
    assert results(killed) == results(built)


def test_sigterm_in_the_second_says_how_the_whole_goes_on(built: Path, code_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = start(with_option(build(code_folder, out), "--conversations.epochs=10000"))
    deadline = time.monotonic() + 100
    while not list(out.glob("assistant/checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on with: homespun train --resume {out}\n" in errors
    assert (out / "result.json").exists() and not (out / "assistant" / "result.json").exists()


def test_the_unfinished_second_is_never_written_over(
    built: Path, code_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "whole"
    shutil.copytree(built, copy)
    (copy / "assistant" / "result.json").unlink()
    assert "holds an unfinished run" in fail(build(code_folder, copy), capsys, 2)


def test_where_there_are_no_functions_nothing_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("".join(f"Line {number} of a text of no use.\n" for number in range(400)))
    assert run(with_option(build(tmp_path / "text.txt", tmp_path / "out"), "--training.steps=2")) == 0
    assert "no assistant: 0 functions" in capsys.readouterr().err
    assert not (tmp_path / "out" / "assistant").exists()


def test_it_is_usual_for_the_library_alone() -> None:
    model = Configuration().model
    assert is_usual(["python"], Dial(minutes=4), model) and is_usual(["a", "python"], Dial(tokens=5), model)
    assert not is_usual(["my-code"], Dial(minutes=4), model) and not is_usual(["python"], Dial(minutes=0.5), model)


def test_a_model_that_cannot_answer_is_one_line(
    code_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["build", str(code_folder), "--assistant", "--model.architecture=bert", "--out", str(tmp_path / "out")]
    assert "bert cannot learn to answer" in fail(told, capsys, 2)
    short = with_option(build(code_folder, tmp_path / "out"), "--model.context=32")
    assert "a model.context of 64 tokens" in fail(short, capsys, 2)


def test_time_is_kept_for_it_where_there_are_questions(built: Path, tmp_path: Path) -> None:
    kept = with_time_kept(RunFolder(built), Dial(minutes=5))
    assert kept == Dial(minutes=5, seconds_kept=60.0)
    assert with_time_kept(RunFolder(tmp_path), Dial(minutes=5)) == Dial(minutes=5)
    assert with_time_kept(RunFolder(built), Dial(tokens=7)) == Dial(tokens=7)


def test_by_minutes_both_have_their_time(
    code_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: None
) -> None:
    """Whether it keeps its time is for the real thing: tests do not look at clocks."""
    monkeypatch.setattr("homespun.training.budget.LONGEST_MEASURED_STEP", 0.0)
    monkeypatch.setattr("homespun.pipeline.planning.plan.LEAST_TRAINING_SECONDS", 0.5)  # a busy machine is no failure
    monkeypatch.setattr("homespun.pipeline.assistant.LEAST_SECONDS", 5.0)
    out = tmp_path / "timed"
    small = ["--model.width=32", "--model.layers=1", "--model.heads=1", "--model.context=64"]
    options = [*small, "--training.threads=1", "--training.precision=fp32", "--sampling.maximum-tokens=8"]
    told = ["build", str(code_folder), "--assistant", "--minutes=0.5", "--out", str(out), *options]
    assert run([*told, "--conversations.epochs=1"]) == 0
    plans = [Plan.from_record(json.loads((folder / "plan.json").read_text())) for folder in (out, out / "assistant")]
    assert plans[0].seconds_kept == 6.0 and plans[0].seconds_after_training > 6.0
    assert plans[1].timed and plans[1].minutes is not None and plans[1].minutes < 0.5
    result = json.loads((out / "assistant" / "result.json").read_text())
    assert 1 <= result["steps"] <= plans[1].most_steps
