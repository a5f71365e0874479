"""A model of images and pixels in, what each image shows out: classes with their probabilities, the likeliest first."""

from collections import Counter
from typing import Any

import numpy as np
import torch

from homespun.batches.images import inputs_of
from homespun.models.settings import ViTConfig

AT_ONCE = 64
TOLD = 3

Ranking = list[tuple[str, float]]


def names_of(config: ViTConfig) -> tuple[str, ...]:
    """The classes' names, numbers where they have none; a name that stands for several gets its number, too.

    ImageNet has two kinds of crane.
    """
    names = config.labels or tuple(map(str, range(config.classes)))
    several = {name for name, count in Counter(names).items() if count > 1}
    return tuple(f"{name} ({number})" if name in several else name for number, name in enumerate(names))


@torch.inference_mode()
def classify(model: Any, pixels: np.ndarray) -> list[Ranking]:
    """Pixels (B, S, S, K) of uint8 -> for each image all classes, as (name, probability). ``model``: a ``ViT``."""
    model.eval()
    names, device = names_of(model.config), next(model.parameters()).device
    rankings = []
    for begin in range(0, len(pixels), AT_ONCE):
        inputs = inputs_of(pixels[begin : begin + AT_ONCE]).to(device)
        chances, order = model(inputs).float().softmax(-1).sort(descending=True, stable=True)  # (B, V)
        for row in zip(order.tolist(), chances.tolist(), strict=True):
            rankings.append([(names[number], chance) for number, chance in zip(*row, strict=True)])
    return rankings


def in_words(ranking: Ranking) -> str:
    """``7 99.1 %, 9 0.4 %, 1 0.2 %``."""
    return ", ".join(f"{name} {100 * chance:.1f} %" for name, chance in ranking[:TOLD])
