"""Sinks: each library gets the records; one that is dead, raises, is slow or hangs costs a warning and no more."""

import json
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from homespun.cli.main import run
from homespun.common.errors import UsageError
from homespun.pipeline.sinks import (
    SINKS,
    BackgroundSink,
    Record,
    Session,
    check_sinks,
    named_numbers,
    open_sinks,
)

TRAIN = {"kind": "train", "loss": 2.5, "learning_rate": 1e-3, "step": 10, "tokens": 640, "seconds": 0.5}
VALIDATION = {"kind": "validation", "loss": 2.25, "bits_per_byte": 1.5, "step": 20, "tokens": 1280, "seconds": 1.0}
NUMBERS = [
    {"train/loss": 2.5, "train/learning_rate": 1e-3, "train/tokens": 640, "train/seconds": 0.5},
    {"validation/loss": 2.25, "validation/bits_per_byte": 1.5, "validation/tokens": 1280, "validation/seconds": 1.0},
]

# Stand-ins for the libraries: each writes every call that it gets into calls.jsonl beside itself.
RECORDING = """
import json, pathlib
print("a greeting on standard output")
def note(*call):
    with open(pathlib.Path(__file__).with_name("calls.jsonl"), "a") as file:
        file.write(json.dumps(call, default=str) + "\\n")
"""
TRACKIO = """
from recording import note
class Run:
    def log(self, metrics, step): note("log", metrics, step)
    def finish(self): note("finish")
def init(**options):
    note("init", options)
    return Run()
"""
WANDB = """
import os
from recording import note
class Run:
    def define_metric(self, name, step_metric): note("define_metric", name, step_metric)
    def log(self, metrics): note("log", metrics)
    def finish(self): note("finish")
def Settings(**options): return options
def init(**options):
    note("init", options | {"environment": os.environ["WANDB_MODE"]})
    return Run()
"""
RAISING = """
def Settings(**options): return options
def init(**options):
    raise SystemExit("no space\\nleft")
"""


class Listening:
    """A sink that keeps what it gets; ``pass_on`` lets it do something at each record and at its end."""

    def __init__(self, at_record=lambda: None, at_end=lambda: None) -> None:
        self.records: list[Record] = []
        self.closed = False
        self.at_record, self.at_end = at_record, at_end

    def log(self, record: Record) -> None:
        self.at_record()
        self.records.append(record)

    def close(self) -> None:
        self.at_end()
        self.closed = True


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "run", "run", {"model.width": 32, "tokenizer.special_tokens": ()}, 0)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a module of a library importable; returns the calls it got so far."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def make(name: str, source: str):
        (folder / "recording.py").write_text(RECORDING)
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        return lambda: [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]

    yield make
    for name in ("recording", "trackio", "wandb"):
        sys.modules.pop(name, None)


def raise_full() -> None:
    raise OSError(28, "No space left on device")


def test_everything_arrives_in_order_and_the_sink_is_closed() -> None:
    sink, warnings = Listening(), []
    background = BackgroundSink("one", lambda: sink, warnings.append)
    records = [TRAIN | {"step": step} for step in range(500)]
    for record in records:
        background.log(record)
    background.close()
    assert sink.records == records and sink.closed and warnings == []


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (raise_full, "OSError: [Errno 28] No space left on device"),
        (lambda: Listening(at_record=raise_full), "No space left"),
        (lambda: Listening(at_end=raise_full), "No space left"),
        (lambda: sys.exit("the library gave up"), "SystemExit: the library gave up"),
    ],
    ids=["at its start", "at a record", "at its end", "leaving"],
)
def test_a_sink_that_raises_costs_one_warning(start, words: str) -> None:
    warnings: list[str] = []
    background = BackgroundSink("one", start, warnings.append)
    background.log(TRAIN)
    background.thread.join(0.2)
    for _ in range(50):
        background.log(TRAIN)
    background.close()
    background.close()
    assert len(warnings) == 1
    assert words in warnings[0] and "sink one" in warnings[0] and "metrics.jsonl has everything" in warnings[0]
    assert not background.thread.is_alive()


def test_a_slow_sink_drops_what_does_not_fit_and_says_how_much() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(60)

    sink, warnings = Listening(at_record=wait), []
    background = BackgroundSink("one", lambda: sink, warnings.append, queue_records=5)
    background.log(TRAIN)
    assert begun.wait(60)
    for step in range(12):  # one record is being written and five wait: seven are too many
        background.log(TRAIN | {"step": step})
    go_on.set()
    background.close()
    assert [record["step"] for record in sink.records] == [10, 0, 1, 2, 3, 4] and sink.closed
    assert len(warnings) == 1 and "7 records were dropped" in warnings[0]


@pytest.mark.parametrize("full", [False, True], ids=["", "with a full queue"])
def test_a_sink_that_hangs_is_left_behind(full: bool) -> None:
    go_on = threading.Event()
    hang = {"at_record" if full else "at_end": lambda: go_on.wait(60)}
    warnings: list[str] = []
    background = BackgroundSink("one", lambda: Listening(**hang), warnings.append, 2, seconds_to_end=0.05)
    for _ in range(9 if full else 1):
        background.log(TRAIN)
    background.close()
    assert len(warnings) == 1 and "did not end within 0.05 seconds" in warnings[0]
    go_on.set()
    background.thread.join(60)
    assert not background.thread.is_alive() and len(warnings) == 1


def test_named_numbers_leaves_out_what_no_chart_can_show() -> None:
    record = {"kind": "skipped", "step": 3, "reason": "not finite", "again": True, "loss": float("inf")}
    assert named_numbers(record) == {"skipped/loss": float("inf")}


def test_trackio_gets_a_local_run(fake, session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    calls, warnings = fake("trackio", TRACKIO), []
    with open_sinks(("trackio", "trackio"), session, warnings.append) as sinks:
        for record in (TRAIN, VALIDATION):
            for sink in sinks:
                sink.log(record)
    shown = {"model.width": 32, "tokenizer.special_tokens": []}
    options = {"project": "homespun", "name": "run", "config": shown, "resume": "never", "embed": False}
    assert calls() == [["init", options], ["log", NUMBERS[0], 10], ["log", NUMBERS[1], 20], ["finish"]]
    assert warnings == [] and capsys.readouterr().out == ""


@pytest.mark.parametrize("mode", ["", "online"])
def test_wandb_is_offline_unless_the_environment_says_otherwise(
    fake, session: Session, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_MODE", mode)
    if not mode:
        monkeypatch.delenv("WANDB_MODE")
    calls, warnings = fake("wandb", WANDB), []
    with open_sinks(("wandb",), session, warnings.append) as sinks:
        sinks[0].log(TRAIN)
    begin, metric, log, finish = calls()
    assert begin[1]["mode"] == begin[1]["environment"] == (mode or "offline")
    assert begin[1]["dir"] == str(session.folder) and begin[1]["settings"]["silent"] is True
    assert metric == ["define_metric", "*", "step"] and log == ["log", NUMBERS[0] | {"step": 10}]
    assert finish == ["finish"] and warnings == []


def test_tensorboard_writes_event_files_that_can_be_read_back(session: Session) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    warnings: list[str] = []
    for again in (0, 10):  # the second session goes on after step 10 and writes step 20 anew
        with open_sinks(("tensorboard",), Session(session.folder, "run", {}, again), warnings.append) as sinks:
            for record in (TRAIN, VALIDATION)[bool(again) :]:
                sinks[0].log(record | {"loss": record["loss"] + again})
    events = EventAccumulator(str(session.folder / "tensorboard")).Reload()
    assert warnings == []
    assert [(one.step, one.value) for one in events.Scalars("train/loss")] == [(10, 2.5)]
    assert [(one.step, one.value) for one in events.Scalars("validation/loss")] == [(20, 12.25)]


def test_a_sink_that_is_not_installed_is_refused_before_anything_is_read(
    tmp_path: Path, text_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"wandb, which is not installed; install with: pip install wandb"):
        check_sinks(("wandb",))
    options = ["--out", str(tmp_path / "run"), "--training.sinks", "tensorboard", "--training.sinks", "trackio"]
    assert run(["train", str(text_folder), *options]) == 2
    assert "pip install tensorboard trackio" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_unknown_sink_is_refused(text_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(text_folder), "--training.sinks", "tensorbord"]) == 2
    assert "--training.sinks" in capsys.readouterr().err


def test_a_run_with_a_dead_sink_and_a_good_one_is_the_same_run(
    fake, text_folder: Path, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    calls = fake("trackio", TRACKIO)
    fake("wandb", RAISING)
    options = ["--training.sinks", "wandb", "--training.sinks", "trackio"]
    assert run(["train", str(text_folder), "--out", str(tmp_path / "plain"), *tiny]) == 0
    capsys.readouterr()
    assert run(["train", str(text_folder), "--out", str(tmp_path / "sinks"), "--json", *tiny, *options]) == 0
    spoken = capsys.readouterr()
    assert json.loads(spoken.out)["finished"] is True
    assert spoken.err.count("the sink wandb failed (SystemExit: no space left)") == 1
    metrics = [json.loads(line) for line in (tmp_path / "sinks" / "metrics.jsonl").read_text().splitlines()]
    logged = [call for call in calls() if call[0] == "log"]
    assert logged == [["log", named_numbers(record), record["step"]] for record in metrics]
    assert metrics and [record["loss"] for record in metrics] == [
        json.loads(line)["loss"] for line in (tmp_path / "plain" / "metrics.jsonl").read_text().splitlines()
    ]


def test_every_name_of_the_setting_has_a_sink() -> None:
    from typing import get_args, get_type_hints

    from homespun.training.settings import TrainingConfig

    assert set(get_args(get_args(get_type_hints(TrainingConfig)["sinks"])[0])) == set(SINKS)
