"""A folder in which the commands of a page find what they name: ``my-texts/`` and, where it is used, ``runs/demo``."""

import inspect
import random
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from homespun.cli.main import run
from tests.docs.shell import SMALL


def write_texts(folder: Path) -> None:
    """A few files of real text."""
    folder.mkdir()
    (folder / "textwrap.py").write_text(inspect.getsource(textwrap), "utf-8")
    (folder / "random.txt").write_text(inspect.getsource(random), "utf-8")


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made once."""
    folder = tmp_path_factory.mktemp("demo")
    write_texts(folder / "my-texts")
    assert run(["train", str(folder / "my-texts"), "--out", str(folder / "demo"), *SMALL]) == 0
    return folder / "demo"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models on a busy machine: threads would only wait for each other."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_run: Path) -> Path:
    """The folder in which a page's commands run; a plan measures the smallest model only."""
    write_texts(tmp_path / "my-texts")
    shutil.copytree(demo_run, tmp_path / "runs" / "demo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("homespun.training.budget.LONGEST_MEASURED_STEP", 0.0)
    return tmp_path
