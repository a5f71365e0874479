"""Two processes that train together, and run folders for them and for one alone."""

import inspect
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homespun.cli.main import run as command
from tests.torch_settings import one_thread  # noqa: F401
from tests.training.parallel.processes import Processes
from tests.training.parallel.runs import CONFIGURATION, ONE, WAYS, train_whole


@pytest.fixture(scope="session")
def pair() -> Iterator[Processes]:
    """Two processes that train together."""
    processes = Processes(2)
    yield processes
    processes.kill()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with text, tokenizer and tokens."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "text.py").write_text(inspect.getsource(textwrap), "utf-8")
    options = [f"--{key}={value}" for key, value in (CONFIGURATION | {"training.steps": 1}).items()]
    assert command(["train", str(folder / "text.py"), "--out", str(folder / "run"), *options]) == 0
    return folder / "run"


@pytest.fixture
def fresh(prepared: Path, tmp_path: Path) -> Callable[[str], Path]:
    """``fresh(name)``: a run folder in which nothing has been trained."""

    def make(name: str) -> Path:
        for part in ("run.json", "config.toml", "tokenizer.json"):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copyfile(prepared / part, tmp_path / name / part)
        shutil.copytree(prepared / "tokens", tmp_path / name / "tokens")
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``alone(optimizer, way)``: the run folder of one process that takes each batch in two halves; made once."""
    made: dict[tuple[str, bool], Path] = {}

    def make(optimizer: str, way: str = "replicated") -> Path:
        shape = {key: value for key, value in WAYS[way].items() if key.startswith("model.")}
        key = (optimizer, bool(shape))
        if key not in made:
            path = tmp_path_factory.mktemp("alone") / optimizer
            shutil.copytree(prepared, path, ignore=lambda folder, names: ["checkpoints"])
            assert train_whole(ONE, path, shape | {"training.optimizer": optimizer, "training.micro_batch_size": 4})
            made[key] = path
        return made[key]

    return make
