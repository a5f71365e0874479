"""Models of images: nothing has to go with the weights, for pixels become inputs in one way (``homespun.batches``)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from homespun.batches.images import inputs_of
from homespun.images.read import size_of
from homespun.interchange.kinds.kind import Kind, compare_settings
from homespun.interchange.weights import Weights
from homespun.models.settings import ViTConfig

IMAGES_OF_BATCH, SEED = 4, 20


def save(inputs: None, folder: Path) -> None:
    """There is nothing to write."""


def load(folder: Path, config: ViTConfig) -> None:
    """There is nothing to read."""


def record(inputs: None) -> dict[str, Any]:
    """There is nothing to say."""
    return {}


def fixed_batch(config: ViTConfig) -> tuple[torch.Tensor]:
    """The same images of chance (B, K, S, S) every time, from their pixels."""
    shape = (IMAGES_OF_BATCH, config.image_size, config.image_size, config.channels)
    return (inputs_of(np.random.default_rng(SEED).integers(0, 256, shape, dtype=np.uint8)),)


def compare(config: ViTConfig, inputs: None, found: Weights) -> str:
    """Sizes, and the classes' names."""
    compare_settings(config, found.config, "image_size", "channels", "classes", "labels")
    return f"sizes and names of {config.classes:,} classes"


def sizes(config: ViTConfig) -> dict[str, int]:
    """For programs."""
    return {"image_size": config.image_size, "channels": config.channels, "classes": config.classes}


def in_words(config: ViTConfig) -> str:
    """For people."""
    return f"{config.classes:,} classes, images of {size_of((config.image_size, config.image_size, config.channels))}"


IMAGES = Kind(save, load, record, fixed_batch, "images", compare, sizes, in_words)
