"""A whole model between formats: its configuration, its tensors under homespun's names, its tokenizer."""

from dataclasses import dataclass

import torch

from homespun.models.settings import ModelConfig
from homespun.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Weights:
    """``tensors``: names and shapes of homespun's own model (``named_parameters``), a tied head left out."""

    config: ModelConfig
    tensors: dict[str, torch.Tensor]
    tokenizer: Tokenizer
