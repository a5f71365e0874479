"""One thread: the models here are so small that a second one costs more than it brings. And a tokenizer's file."""

from pathlib import Path

import pytest
import torch

from homespun.tokenizer.tokenizer import Tokenizer

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    Tokenizer("homespun", []).save(path)
    return path
