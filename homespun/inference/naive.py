"""The oracle: generation without a cache, as the book writes it. Every token computes the whole text again."""

from collections.abc import Iterator

import torch

from homespun.inference.sampling import Sampler
from homespun.inference.settings import SamplingConfig
from homespun.inference.window import visible_tokens, window_start
from homespun.models.language_model import LanguageModel


@torch.inference_mode()
def generate_naively(model: LanguageModel, prompt: list[int], config: SamplingConfig) -> Iterator[int]:
    """Token ids after ``prompt``, without end: the caller stops."""
    sampler, ids = Sampler(config), list(prompt)
    while True:
        visible = ids[window_start(len(ids), visible_tokens(model.config)) :]
        logits = model(torch.tensor([visible]))[0, -1]
        ids.append(sampler.draw(logits))
        yield ids[-1]
