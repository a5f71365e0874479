"""The oracle: generation without a cache, as the book writes it. Every token computes the whole text again."""

from collections.abc import Iterator

import torch

from homespun.inference.sampling import Sampler
from homespun.inference.settings import SamplingConfig
from homespun.inference.window import window_start
from homespun.models.gpt import GPT


@torch.inference_mode()
def generate_naively(model: GPT, prompt: list[int], config: SamplingConfig) -> Iterator[int]:
    """Token ids after ``prompt``, without end: the caller stops."""
    sampler, ids = Sampler(config), list(prompt)
    while True:
        visible = ids[window_start(len(ids), model.config.context) :]
        logits = model(torch.tensor([visible]))[0, -1]
        ids.append(sampler.draw(logits))
        yield ids[-1]
