"""Tiny models of every family that reads from left to right, and a run that was really trained."""

from typing import Any

import torch

from homespun.models.registry import build_model
from homespun.models.settings import SETTINGS
from homespun.tokenizer.tokenizer import Tokenizer
from tests.pipeline.conftest import finished_run, text_folder  # noqa: F401  # fixtures of this folder too
from tests.torch_settings import one_thread  # noqa: F401

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
