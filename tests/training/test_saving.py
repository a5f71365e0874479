"""Checkpoints written beside the training: the same files, no waiting, and what a full disk or a kill costs."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.common.errors import HomespunError
from homespun.training import saving
from homespun.training.checkpoint import list_checkpoints, newest_checkpoint, save_checkpoint, verify_checkpoint
from homespun.training.loop import train
from tests.training.process import TRAINING, Process, files_of

OFTEN = replace(TRAINING, checkpoint_seconds=0.0, keep_checkpoints=100)


def test_beside_or_in_between_the_files_are_the_same(tmp_path: Path, tokenizer_file: Path) -> None:
    """Background copies are of their moment, though training goes on at once."""
    for folder, background in (("beside", True), ("between", False)):
        process = Process(tmp_path / folder, tokenizer_file, replace(OFTEN, average_decay=0.9))
        process.saver.background = background
        assert train(process.run)
    beside, between = (list_checkpoints(tmp_path / folder) for folder in ("beside", "between"))
    assert [path.name for path in beside] == [path.name for path in between]
    assert [int(path.name[-2:]) for path in beside] == [2, 4, 6, 8, 10, 12, 14]
    for one, other in zip(beside, between, strict=True):
        verify_checkpoint(one)
        names = sorted(file.name for file in one.iterdir())
        assert names == sorted(file.name for file in other.iterdir())
        for name in names:
            if name not in ("state.json", "manifest.json"):  # they tell of seconds
                assert (one / name).read_bytes() == (other / name).read_bytes(), (one, name)


class SlowDisk:
    """Saves only when it is let go."""

    def __init__(self) -> None:
        self.started, self.go_on = threading.Event(), threading.Event()

    def save(self, *arguments: Any) -> Path:
        self.started.set()
        assert self.go_on.wait(timeout=60)
        return save_checkpoint(*arguments)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk()
    monkeypatch.setattr(saving, "save_checkpoint", disk.save)
    yield disk
    disk.go_on.set()


def test_training_goes_on_while_a_slow_disk_writes(tmp_path: Path, tokenizer_file: Path, slow_disk: SlowDisk) -> None:
    process = Process(tmp_path, tokenizer_file, TRAINING)
    begun_at: list[int] = []
    make = process.run.batch

    def batch(number: int) -> Any:
        if number == 4:
            process.saver.save(process.run.state)
        if number == 10:
            assert slow_disk.started.wait(timeout=60)
            begun_at.append(len(list_checkpoints(tmp_path)))
            slow_disk.go_on.set()
        return make(number)

    process.run.batch = batch
    assert train(process.run)
    assert begun_at == [0]  # six more steps were made before anything was on the disk
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000004", "step-00000014"]
    again = Process(tmp_path / "again", tokenizer_file).stop_at(4)
    train(again.run)
    assert files_of(tmp_path / "again") == {
        name: (tmp_path / "step-00000004" / name).read_bytes()
        for name in ("model.safetensors", "optimizer.safetensors")
    }


def test_only_one_is_written_at_a_time(tmp_path: Path, tokenizer_file: Path, slow_disk: SlowDisk) -> None:
    process = Process(tmp_path, tokenizer_file)
    state = process.run.state
    process.saver.save(state)
    second = threading.Thread(target=lambda: process.saver.save(replace(state, step=1)))
    second.start()
    assert slow_disk.started.wait(timeout=60)
    assert sum(thread.name == "checkpoint" for thread in threading.enumerate()) == 1
    slow_disk.go_on.set()
    second.join()
    process.saver.finish()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000000", "step-00000001"]


class FullDisk:
    """Refuses the saves of some steps."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def save(self, folder: Path, snapshot: Any, *arguments: Any) -> Path:
        if snapshot.state.step in self.steps:
            raise HomespunError(f"cannot write {folder}: the disk is full; free some space")
        return save_checkpoint(folder, snapshot, *arguments)


@pytest.mark.parametrize("background", [True, False])
def test_a_full_disk_is_told_once_for_each_failure_and_training_goes_on(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    monkeypatch.setattr(saving, "save_checkpoint", FullDisk(4, 6, 10).save)
    process = Process(tmp_path, tokenizer_file, OFTEN)
    process.saver.background = background
    assert train(process.run)
    assert len(process.warnings) == 3
    for warning, step in zip(process.warnings, (4, 6, 10), strict=True):
        assert warning.startswith(f"no checkpoint at step {step}: cannot write")
        assert "the disk is full" in warning and warning.endswith("training goes on") and "\n" not in warning
    assert [int(path.name[-2:]) for path in list_checkpoints(tmp_path)] == [2, 8, 12, 14]


@pytest.mark.parametrize("background", [True, False])
def test_a_last_checkpoint_that_fails_is_an_error(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(saving, "save_checkpoint", FullDisk(14).save)
        process = Process(tmp_path, tokenizer_file, OFTEN)
        process.saver.background = background
        with pytest.raises(HomespunError, match="the disk is full"):
            train(process.run)
    process.saver.settle()
    assert process.warnings == []  # it is told once, as the error
    assert process.diary.validated_at == [5, 10]  # no result of weights that nobody has
    assert list_checkpoints(tmp_path)[-1].name == "step-00000012"
    again = Process(tmp_path, tokenizer_file, OFTEN)
    assert again.run.state.step == 12 and train(again.run)


def test_an_error_that_nobody_thought_of_is_told_as_well(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that dies of it in silence would leave a run without checkpoints."""

    def odd(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(saving, "save_checkpoint", odd)
    process = Process(tmp_path, tokenizer_file, OFTEN)
    with pytest.raises(HomespunError, match="Input/output error"):
        train(process.run)
    assert len(process.warnings) == 6
    assert all("Input/output error" in warning and "\n" not in warning for warning in process.warnings)


KILLED = """
import os, sys, threading, torch
from dataclasses import replace
from pathlib import Path
import homespun.common.files as files
from tests.training.process import Process, TRAINING
torch.set_num_threads(1)
process = Process(Path(sys.argv[1]), Path(sys.argv[2]), replace(TRAINING, keep_checkpoints=1))
state = process.run.state
process.saver.save(replace(state, step=1))
process.saver.finish()
sync, writing = files.sync, threading.Event()
def slow(path):
    if path.name == "model.safetensors":
        assert threading.current_thread() is not threading.main_thread()
        writing.set()
        threading.Event().wait()
    sync(path)
files.sync = slow
process.saver.save(replace(state, step=2))
writing.wait()
os.kill(os.getpid(), 9)
"""


def test_a_kill_while_it_is_written_leaves_the_one_before(tmp_path: Path, tokenizer_file: Path) -> None:
    folder = tmp_path / "checkpoints"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(tokenizer_file)], check=False, capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(list(folder.iterdir())) == 2
    found = newest_checkpoint(folder, lambda text: None)
    assert found is not None
    verify_checkpoint(found)
    process = Process(folder, tokenizer_file)
    assert process.run.state.step in (1, 2)  # all was written, only the name was missing: then it is the second
    assert train(process.run)
    assert torch.isfinite(process.model.token_embedding.weight).all()
