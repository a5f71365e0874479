"""Tiny models of every family that reads from left to right, and a run that was really trained."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from homespun.models.registry import build_model
from homespun.models.settings import SETTINGS
from homespun.tokenizer.tokenizer import Tokenizer
from tests.pipeline.conftest import finished_run, text_folder  # noqa: F401  # fixtures of this folder too

CONTEXT = 24
TOKENIZER = Tokenizer("homespun", [(ord("t"), ord("h")), (256, ord("e")), (ord(" "), 257), (ord("i"), ord("n"))])


def model_of(architecture: str, **more: Any) -> Any:
    """A model with random weights, large enough ones for its opinions to differ."""
    torch.manual_seed(1)
    sizes = {"vocabulary_size": TOKENIZER.vocabulary_size, "context": CONTEXT, "layers": 2, "width": 32} | more
    model = build_model(SETTINGS[architecture](**sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(3.0)
    return model


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models: threads would only wait for each other."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
