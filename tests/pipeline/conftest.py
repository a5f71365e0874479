"""A small real text, and a configuration that trains on it in seconds."""

import inspect
import shutil
import textwrap
from pathlib import Path

import pytest

from tests.images.conftest import archive, picture_folder  # noqa: F401  # fixtures of this folder too

# Everything that could differ between two runs is fixed, so that runs are equal to the bit.
TINY = [
    "--model.width=32",
    "--model.layers=2",
    "--model.heads=2",
    "--model.context=32",
    "--tokenizer.vocabulary-size=400",
    "--training.steps=60",
    "--training.batch-size=4",
    "--training.warmup-steps=5",
    "--training.evaluate-every=25",
    "--training.sample-every=30",
    "--training.precision=fp32",
    "--training.attention=fused",
    "--training.compile=off",
    "--training.threads=1",
    "--training.checkpoint-seconds=0",
    "--sampling.maximum-tokens=12",
]


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 80 KB of real source code in two files."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "textwrap.py").write_text(inspect.getsource(textwrap), "utf-8")
    (folder / "inspect.py").write_text(inspect.getsource(inspect)[:60_000], "utf-8")
    return folder


@pytest.fixture
def tiny() -> list[str]:
    """Options of a run of seconds."""
    return list(TINY)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, text_folder: Path) -> Path:
    """An uninterrupted run; tests work on copies of it."""
    from homespun.cli.main import run

    out = tmp_path_factory.mktemp("runs") / "whole"
    assert run(["train", str(text_folder), "--out", str(out), *TINY]) == 0
    return out


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured here neither comes from the user's cache nor goes there."""
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path_factory.mktemp("cache")))


def fail(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """Run, expect ``code`` and exactly one line of complaint; return it."""
    from homespun.cli.main import run

    capsys.readouterr()
    assert run(arguments) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("homespun: ")]
    assert len(lines) == 1
    return lines[0]


def unfinished_copy(finished_run: Path, folder: Path) -> Path:
    """The run as a kill just before its end would have left it."""
    copy = folder / "copy"
    shutil.copytree(finished_run, copy)
    (copy / "result.json").unlink()
    return copy
