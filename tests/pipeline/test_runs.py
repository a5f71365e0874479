"""Whole runs through the command line: result, reproduction, interruption, damage, lines for bad input."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from tests.pipeline.conftest import fail, unfinished_copy

LAST = "checkpoints/step-00000060/model.safetensors"


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """The program as users start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "homespun", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def with_option(arguments: list[str], option: str) -> list[str]:
    """The same arguments with one option changed."""
    name = option.partition("=")[0]
    return [*(other for other in arguments if other.partition("=")[0] != name), option]


def test_a_run_leaves_everything_it_promises(finished_run: Path) -> None:
    for name in ("run.json", "config.toml", "plan.json", "tokenizer.json", "model.json", "metrics.jsonl",
                 "samples.jsonl", "result.json", "report.html", "environment.json"):  # fmt: skip
        assert (finished_run / name).stat().st_size > 0, name
    result = json.loads((finished_run / "result.json").read_text())
    assert result["steps"] == 60 and result["tokens_seen"] == 60 * 4 * 32
    rows = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "validation"]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [10, 20, 30, 40, 50, 60]
    assert len(list((finished_run / "checkpoints").iterdir())) == 2


def test_the_recorded_configuration_makes_the_same_bits_again(
    finished_run: Path, text_folder: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    assert run(["build", str(text_folder), "--config", str(finished_run / "config.toml"), "--out", str(again)]) == 0
    assert sha256_of_file(again / LAST) == sha256_of_file(finished_run / LAST)


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(
    finished_run: Path, text_folder: Path, tmp_path: Path, tiny: list[str]
) -> None:
    moments = random.Random(20_261_121)
    killed = tmp_path / "killed"
    arguments = ["train", str(text_folder), "--out", str(killed), *tiny]
    for _ in range(3):
        process = start(arguments)
        time.sleep(moments.uniform(0.8, 4.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (killed / "run.json").exists():
            arguments = ["train", "--resume", str(killed)]
    assert run(arguments) == 0
    assert sha256_of_file(killed / LAST) == sha256_of_file(finished_run / LAST)
    straight = (finished_run / "metrics.jsonl").read_text().splitlines()
    resumed = (killed / "metrics.jsonl").read_text().splitlines()
    assert [step_and_loss(line) for line in resumed] == [step_and_loss(line) for line in straight]


def step_and_loss(line: str) -> tuple[str, int]:
    """What of a metrics line does not depend on time or on where a window of steps was cut."""
    row = json.loads(line)
    return row["kind"], row["step"]


def test_sigterm_saves_says_how_to_go_on_and_goes_on(
    finished_run: Path, text_folder: Path, tmp_path: Path, tiny: list[str]
) -> None:
    out = tmp_path / "stopped"
    process = start(["train", str(text_folder), "--out", str(out), *with_option(tiny, "--training.steps=100000")])
    deadline = time.monotonic() + 60
    while not (out / "checkpoints").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"go on with: homespun train --resume {out}" in errors
    state = json.loads(next((out / "checkpoints").glob("*/state.json")).read_text())
    assert state["step"] >= 1
    assert (out / "report.html").exists()


def test_a_run_goes_on_without_its_sources_once_they_are_read(
    finished_run: Path, tmp_path: Path, tiny: list[str], text_folder: Path
) -> None:
    sources, out = tmp_path / "sources", tmp_path / "orphan"
    shutil.copytree(text_folder, sources)
    assert run(["train", str(sources), "--out", str(out), *tiny]) == 0
    shutil.rmtree(sources)
    for name in ("result.json", "checkpoints", "tokens", "plan.json", "tokenizer.json"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(["train", "--resume", str(out)]) == 0
    assert (out / LAST).exists()


def test_a_folder_left_by_a_killed_start_is_used_again(
    text_folder: Path, tmp_path: Path, tiny: list[str], finished_run: Path
) -> None:
    out = tmp_path / "left"
    out.mkdir()
    (out / ".unfinished-99999-run.json").write_text('{"form')
    assert run(["train", str(text_folder), "--out", str(out), *tiny]) == 0
    assert sha256_of_file(out / LAST) == sha256_of_file(finished_run / LAST)


def test_a_clock_that_jumps_changes_nothing(
    text_folder: Path, tmp_path: Path, tiny: list[str], finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durations come from a clock that nobody can set."""
    chance = random.Random(1)
    monkeypatch.setattr(time, "time", lambda: chance.uniform(0, 1.7e9))
    out = tmp_path / "jumps"
    assert run(["train", str(text_folder), "--out", str(out), *tiny]) == 0
    assert sha256_of_file(out / LAST) == sha256_of_file(finished_run / LAST)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds) and 0 < seconds[-1] < 3600
    assert 0 < json.loads((out / "run.json").read_text())["seconds_total"] < 3600


def test_two_processes_never_share_a_run(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from homespun.pipeline.run_folder import RunFolder, locked

    copy = unfinished_copy(finished_run, tmp_path)
    with locked(RunFolder(copy)):
        assert "another process is working" in fail(["train", "--resume", str(copy)], capsys)


def test_an_existing_folder_is_never_written_over(
    finished_run: Path, text_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds a finished run" in fail(["build", str(text_folder), "--out", str(finished_run)], capsys, 2)
    (tmp_path / "mine.txt").write_text("precious")
    assert "not empty" in fail(["build", str(text_folder), "--out", str(tmp_path)], capsys, 2)
    assert (tmp_path / "mine.txt").read_text() == "precious"
    assert "not empty" in fail(["build", str(text_folder), "--out", str(tmp_path / "mine.txt")], capsys, 2)


def test_a_finished_run_is_shown_again_at_once(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sha256_of_file(finished_run / "result.json")
    assert run(["build", "--out", str(finished_run), "--resume"]) == 0
    assert "report.html" in capsys.readouterr().out
    assert sha256_of_file(finished_run / "result.json") == before


def damaged_copy(finished_run: Path, tmp_path: Path, file: str) -> Path:
    """An unfinished copy of the run in which the middle byte of ``file`` is another one."""
    copy = unfinished_copy(finished_run, tmp_path)
    raw = bytearray((copy / file).read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    (copy / file).write_bytes(raw)
    return copy


def test_a_damaged_shard_is_named(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = damaged_copy(finished_run, tmp_path, "tokens/train-00000.bin")
    assert "train-00000.bin is damaged" in fail(["train", "--resume", str(copy)], capsys)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = damaged_copy(finished_run, tmp_path, LAST)
    assert run(["train", "--resume", str(copy)]) == 0
    errors = capsys.readouterr().err
    assert "step-00000060/model.safetensors is damaged" in errors and "continuing at step 50" in errors
    assert sha256_of_file(copy / LAST) == sha256_of_file(finished_run / LAST)


def test_a_damaged_tokenizer_is_named(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = damaged_copy(finished_run, tmp_path, "tokenizer.json")
    assert "tokenizer.json" in fail(["train", "--resume", str(copy)], capsys)


def test_a_run_of_another_version_is_refused(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "old"
    shutil.copytree(finished_run, copy)
    record = json.loads((copy / "run.json").read_text()) | {"format": 99}
    (copy / "run.json").write_text(json.dumps(record))
    for command in (["train", "--resume"], ["report"]):
        assert "incompatible version" in fail([*command, str(copy)], capsys)


def test_a_full_disk_costs_a_warning_and_at_the_end_one_line(
    finished_run: Path, text_folder: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import errno

    from homespun.training import saving

    def full(*_: object) -> None:
        from homespun.common.files import explain_os_error

        raise explain_os_error(OSError(errno.ENOSPC, "no space"), "cannot write")

    out = tmp_path / "full"
    with monkeypatch.context() as disk:
        disk.setattr(saving, "save_checkpoint", full)
        assert run(["train", str(text_folder), "--out", str(out), *tiny]) == 1
    errors = capsys.readouterr().err
    for step in (10, 20, 30, 40, 50):
        assert errors.count(f"no checkpoint at step {step}: cannot write: the disk is full") == 1
    assert errors.count("training goes on") == 5 and errors.count("homespun: cannot write: the disk is full") == 1
    assert not (out / "result.json").exists()
    assert run(["train", "--resume", str(out)]) == 0  # the same command again, once there is space
    assert sha256_of_file(out / LAST) == sha256_of_file(finished_run / LAST)


def test_a_bad_step_is_skipped_recorded_and_counted(
    text_folder: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from homespun.training.losses import NextToken

    loss, steps = NextToken.loss, []

    def bad_once(self: NextToken, model: Any, batch: Any) -> tuple[Any, Any]:
        total, count = loss(self, model, batch)
        if model.training:
            steps.append(len(steps))
        return (total * float("nan") if model.training and steps[-1] == 17 else total), count

    monkeypatch.setattr(NextToken, "loss", bad_once)
    out = tmp_path / "bad"
    assert run(["train", str(text_folder), "--out", str(out), *tiny]) == 0
    assert "step 17 was skipped: loss nan, gradient norm nan (batch 17)" in capsys.readouterr().err
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]  # NaN is not JSON
    [skipped] = [row for row in rows if row["kind"] == "skipped"]
    assert (skipped["step"], skipped["batch"], skipped["loss"], skipped["gradient_norm"]) == (17, 17, "nan", "nan")
    assert json.loads((out / "result.json").read_text())["steps_skipped"] == 1


def test_without_a_compiler_a_run_that_asks_for_one_warns_and_goes_on(
    finished_run: Path, text_folder: Path, tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import torch._inductor.config

    from homespun.training.execution import why_not_compile

    out, options = tmp_path / "eager", with_option(tiny, "--training.compile=on")
    why_not_compile.cache_clear()
    with torch._inductor.config.patch({"cpp.cxx": (None, "/nowhere/c++")}):
        assert run(["train", str(text_folder), "--out", str(out), *options]) == 0
    why_not_compile.cache_clear()
    assert capsys.readouterr().err.count("steps are not compiled: no C++ compiler") == 1
    assert sha256_of_file(out / LAST) == sha256_of_file(finished_run / LAST)


def test_metrics_that_cannot_be_written_cost_a_warning_only(
    text_folder: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import errno

    from homespun.pipeline.run_folder import RunFolder

    def full(self: RunFolder, file: Path, record: object) -> None:
        raise OSError(errno.ENOSPC, "no space", str(file))

    out = tmp_path / "full"
    monkeypatch.setattr(RunFolder, "append", full)
    assert run(["train", str(text_folder), "--out", str(out), *tiny]) == 0
    assert capsys.readouterr().err.count("the disk is full") == 1
    assert (out / LAST).exists()


@pytest.mark.parametrize("stage", ["corpus", "tokens"])
def test_a_disk_that_fills_in_an_early_stage_is_one_line_and_nothing_is_lost(
    stage: str, text_folder: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import errno

    from homespun.common import files

    out = tmp_path / "full"
    true_sync = files.sync

    def full(path: Path) -> None:
        if stage in str(path):
            raise OSError(errno.ENOSPC, "no space", str(path))
        true_sync(path)

    with monkeypatch.context() as disk:
        disk.setattr(files, "sync", full)
        assert "the disk is full" in fail(["train", str(text_folder), "--out", str(out), *tiny], capsys)
    assert run(["train", "--resume", str(out)]) == 0


def test_a_place_that_cannot_be_written_to(
    text_folder: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("no /proc here")
    assert "cannot make the run folder" in fail(["train", str(text_folder), "--out", "/proc/homespun", *tiny], capsys)


def test_sources_that_hold_nothing_to_learn_from(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert "does not exist" in fail(["build", str(tmp_path / "absent"), "--out", out], capsys, 2)
    (tmp_path / "empty").mkdir()
    fail(["build", str(tmp_path / "empty"), "--out", out], capsys)
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "a.bin").write_bytes(bytes(range(256)) * 100)
    assert "binary" in fail(["build", str(tmp_path / "binary"), "--out", str(tmp_path / "out2")], capsys)
    (tmp_path / "short.txt").write_text("Too short to learn from.\n")
    assert "1,000" in fail(["build", str(tmp_path / "short.txt"), "--out", str(tmp_path / "out3")], capsys)


def test_a_context_longer_than_the_text(
    text_folder: Path, tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(text_folder / "textwrap.py"), "--out", str(tmp_path / "long"), *tiny]
    assert "too few for a context of 40000" in fail(with_option(arguments, "--model.context=40000"), capsys)


def test_a_vocabulary_larger_than_the_text_allows_is_said_and_goes_on(
    text_folder: Path, tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(text_folder / "textwrap.py"), "--out", str(tmp_path / "large"), *tiny]
    arguments = with_option(with_option(arguments, "--tokenizer.vocabulary-size=30000"), "--training.steps=2")
    assert run(arguments) == 0
    assert "of 30,000 tokens" in capsys.readouterr().err


def test_the_model_follows_the_tokenizer_whatever_a_file_says(
    text_folder: Path, tmp_path: Path, tiny: list[str]
) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    recipe.write_text("[model]\nvocabulary_size = 5000\n", "utf-8")
    arguments = with_option(tiny, "--training.steps=2")
    assert run(["train", str(text_folder), "--config", str(recipe), "--out", str(out), *arguments]) == 0
    assert run(["generate", str(out), "--maximum-tokens", "2"]) == 0


def test_a_plan_leaves_nothing_behind_and_respects_what_is_fixed(
    text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    own_cache: None,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("homespun.training.budget.LONGEST_MEASURED_STEP", 0.0)
    arguments = ["build", str(text_folder), "--minutes", "1", "--plan", "--json", "--model.width=64"]
    assert run([*arguments, "--training.threads=1"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert "model.width" not in plan["values"] and plan["values"]["model.layers"] >= 1
    assert plan["expected"]["validation_bits_per_byte"] > 0
    assert list(tmp_path.iterdir()) == []


def test_too_little_time_is_said_before_anything_is_trained(
    text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    own_cache: None,
) -> None:  # fmt: skip
    monkeypatch.setattr("homespun.training.budget.LONGEST_MEASURED_STEP", 0.0)
    options = ["--minutes", "0.01", "--training.threads=1"]
    line = fail(["build", str(text_folder), "--out", str(tmp_path / "quick"), *options], capsys)
    assert "leaves no time to train" in line and "ask for --minutes" in line


def test_a_timed_run_finishes_and_records_its_steps(
    text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: None
) -> None:
    """Whether it keeps its time is for ``benchmarks/plan_vs_reached.py``: tests do not look at clocks."""
    monkeypatch.setattr("homespun.training.budget.LONGEST_MEASURED_STEP", 0.0)
    monkeypatch.setattr("homespun.pipeline.planning.plan.LEAST_TRAINING_SECONDS", 0.5)  # a busy machine is no failure
    out = tmp_path / "timed"
    small = ["--model.width=32", "--model.layers=1", "--model.heads=1", "--model.context=32"]
    options = [*small, "--training.threads=1", "--training.precision=fp32", "--sampling.maximum-tokens=8"]
    assert run(["build", str(text_folder), "--minutes", "0.5", "--out", str(out), *options]) == 0
    result, plan = (json.loads((out / name).read_text()) for name in ("result.json", "plan.json"))
    assert plan["timed"] and plan["values"]["training.steps"] >= 1
    assert f"steps = {result['steps']}\n" in (out / "config.toml").read_text()

    # Killed after its configuration was written down and before its result was: that is no edited configuration.
    weights = f"checkpoints/step-{result['steps']:08d}/model.safetensors"
    before = sha256_of_file(out / weights)
    (out / "result.json").unlink()
    assert run(["train", "--resume", str(out)]) == 0
    again = json.loads((out / "result.json").read_text())
    assert (again["steps"], again["validation_loss"]) == (result["steps"], result["validation_loss"])
    assert sha256_of_file(out / weights) == before


def test_generate_prints_the_prompt_and_a_continuation(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--prompt", "def ", "--maximum-tokens", "8", "--seed", "3"]
    assert run(["generate", str(finished_run), *options]) == 0
    first = capsys.readouterr().out
    assert first.startswith("def ")
    assert run(["generate", str(finished_run), *options, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert first == answer["prompt"] + answer["text"] + "\n"


def test_chat_continues_line_by_line(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["import", "", "def"])

    def typed(_: str = "") -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", typed)
    assert run(["chat", str(finished_run), "--maximum-tokens", "4"]) == 0
    assert capsys.readouterr().out.count("\n") >= 2


def test_report_sums_a_run_up(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(finished_run), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["report"].endswith("report.html")
    assert summary["bits_per_byte"] == json.loads((finished_run / "result.json").read_text())["bits_per_byte"]
