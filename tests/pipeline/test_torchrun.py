"""Real processes under torchrun: a restart after one is killed, SIGTERM, and lines for what cannot be."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from homespun.cli.main import run as command
from tests.pipeline.conftest import TINY
from tests.torch_settings import one_thread  # noqa: F401

STEPS = 120
CHANGED = {
    "--training.steps": STEPS, "--training.evaluate-every": 1000, "--training.sample-every": 0,
    "--training.attention": "fused", "--training.compile": "off",
}  # fmt: skip
OPTIONS = [
    *(option for option in TINY if option.partition("=")[0] not in CHANGED),
    *(f"{name}={value}" for name, value in CHANGED.items()),
]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, text_folder: Path) -> Path:
    """The same run, uninterrupted, in one process."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    assert command(["train", str(text_folder), "--out", str(out), *OPTIONS]) == 0
    return out


def torchrun(*arguments: str, restarts: int = 0) -> subprocess.Popen[str]:
    """``torchrun`` with two processes of ``homespun``, as users start it."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.Popen(
        [*launcher, f"--max-restarts={restarts}", "-m", "homespun", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def complaints(errors: str) -> list[str]:
    """The lines that are ours."""
    return [line for line in errors.splitlines() if line.startswith("homespun: ")]


def assert_equal_weights(out: Path, other: Path) -> None:
    ours, theirs = (load_file(path / f"checkpoints/step-{STEPS:08d}/model.safetensors") for path in (out, other))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-5)


def workers_of(launcher: subprocess.Popen[str]) -> list[int]:
    """The process ids of what torchrun has started."""
    return [int(word) for word in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker in /proc")
def test_after_one_process_is_killed_torchrun_starts_all_again_and_they_go_on(
    text_folder: Path, tmp_path: Path, alone: Path
) -> None:
    out = tmp_path / "out"
    launcher = torchrun(
        "train", str(text_folder), "--out", str(out), *OPTIONS, "--training.parallel=sharded", restarts=1
    )
    wait_for((out / "checkpoints/step-00000010").exists)
    os.kill(workers_of(launcher)[1], signal.SIGKILL)
    _, errors = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, errors
    assert "continuing at step" in errors
    assert_equal_weights(out, alone)


def test_sigterm_saves_and_one_process_goes_on(text_folder: Path, tmp_path: Path, alone: Path) -> None:
    out = tmp_path / "out"
    launcher = torchrun("train", str(text_folder), "--out", str(out), *OPTIONS)
    wait_for((out / "checkpoints/step-00000010").exists)
    launcher.send_signal(signal.SIGTERM)
    _, errors = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    assert complaints(errors) == [f"homespun: stopped and saved; go on with: homespun train --resume {out}"]
    assert not (out / "result.json").exists()
    assert command(["train", "--resume", str(out)]) == 0
    assert_equal_weights(out, alone)


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--training.batch-size=3", "cannot be divided among 2 processes"),
        ("--training.device=cuda", "no GPU"),
        ("--model.key-value-heads=1 --training.parallel=tensor", "model.key_value_heads 1 must be as many"),
    ],
)
def test_what_cannot_be_is_said_once(option: str, line: str, text_folder: Path, tmp_path: Path) -> None:
    if "cuda" in option and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    options = [other for other in OPTIONS if other.partition("=")[0] != option.partition("=")[0]]
    launcher = torchrun("train", str(text_folder), "--out", str(tmp_path / "out"), *options, *option.split())
    _, errors = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    (said,) = complaints(errors)
    assert line in said
    assert not (tmp_path / "out").exists()  # before any text is read


def test_a_finished_run_is_shown_once(alone: Path) -> None:
    shown, errors = torchrun("train", "--resume", str(alone)).communicate(timeout=120)
    assert errors.count("is finished.") == 1
    assert shown.count("report: ") == 1
