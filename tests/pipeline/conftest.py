"""A small real text, and a configuration that trains on it in seconds."""

import inspect
import textwrap
from pathlib import Path

import pytest

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
