"""A whole model between formats: its configuration, its tensors under homespun's names, what makes its inputs."""

from dataclasses import dataclass

import torch

from homespun.models.settings import ModelConfig
from homespun.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Weights:
    """``tensors``: names and shapes of homespun's own model (``named_parameters``), a tied head left out.

    ``inputs``: what has to go with them to make the model's inputs (``homespun.interchange.kinds``): the tokenizer of a
    model of text; None of one of images, which needs nothing.
    """

    config: ModelConfig
    tensors: dict[str, torch.Tensor]
    inputs: Tokenizer | None

    @property
    def tokenizer(self) -> Tokenizer:
        """For formats that hold models of text alone."""
        assert self.inputs is not None
        return self.inputs
