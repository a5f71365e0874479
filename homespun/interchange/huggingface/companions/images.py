"""Beside a model of images: ``preprocessor_config.json``, which says how a picture becomes what the model sees.

homespun has one way: a picture has the model's own size already, and every number of a pixel, 0 … 255, is brought to
-1 … 1 (``homespun.batches.images``). So it is written, and so it must be read, in whatever words; a file that does
something else to the pixels is refused.
"""

from pathlib import Path
from typing import Any

from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import write_json
from homespun.interchange.huggingface.companions.companion import Companion
from homespun.interchange.huggingface.config_file import ConfigFile, is_number
from homespun.interchange.huggingface.family import Family
from homespun.interchange.options import Reading
from homespun.interchange.weights import Weights
from homespun.models.settings import ViTConfig
from homespun.tokenizer.formats.reading import shorten

FILE, CLASS = "preprocessor_config.json", "ViTImageProcessor"
# What the class takes where a file says nothing: pixels first to 0 … 1, then by these two to -1 … 1.
LARGEST_PIXEL, MEAN, DEVIATION = 255, 0.5, 0.5
NEAR = 1e-5


def read(folder: Path, file: ConfigFile, config: ViTConfig, options: Reading) -> None:
    """Nothing has to be kept of it; what differs from homespun's way is one line that names the key."""
    for option, given in (
        ("--tokenizer", options.tokenizer), ("--end-of-text", options.end_of_text), ("--context", options.context)
    ):  # fmt: skip
        if given:
            raise UsageError(f"{folder} is a model of images; leave out {option}")
    if not (folder / FILE).is_file():
        options.warn(f"{folder} has no {FILE}: it is taken for a model whose pixels are brought to -1 … 1")
        return
    said = ConfigFile.load(folder / FILE)
    said.demand("image_processor_type", CLASS, f"{CLASS}Fast", default=CLASS)
    for key in ("do_center_crop", "do_pad", "do_flip_channel_order"):
        said.demand(key, False, default=False)
    check_pixels(said, config.channels)
    check_size(said, config.image_size, options)


def check_pixels(said: ConfigFile, channels: int) -> None:
    """What becomes of the smallest and the largest pixel decides, for the way between is straight."""
    factor = said.number("rescale_factor", 1 / LARGEST_PIXEL) if said.flag("do_rescale", True) else 1.0
    means, deviations = [0.0] * channels, [1.0] * channels
    if said.flag("do_normalize", True):
        means = for_each_channel(said, "image_mean", MEAN, channels)
        deviations = for_each_channel(said, "image_std", DEVIATION, channels)
    for mean, deviation in zip(means, deviations, strict=True):
        if not deviation > 0:
            raise said.wrong("image_std", "more than 0")
        low, high = (0 - mean) / deviation, (LARGEST_PIXEL * factor - mean) / deviation
        if not (abs(low + 1) < NEAR and abs(high - 1) < NEAR):
            raise HomespunError(
                f"{said.path}: image_mean {mean:g} and image_std {deviation:g} bring pixels to {low:.4g} … {high:.4g}; "
                "homespun shows its models -1 … 1"
            )


def for_each_channel(said: ConfigFile, key: str, default: float, channels: int) -> list[float]:
    """One number for all channels, or a list of them."""
    value = said.get(key, default)
    numbers = value if isinstance(value, list) else [value] * channels
    if len(numbers) != channels or not all(map(is_number, numbers)):
        raise said.wrong(key, f"a number for each of the {channels} channels of the model")
    return [float(one) for one in numbers]


def check_size(said: ConfigFile, side: int, options: Reading) -> None:
    """Pictures that are resized must get the model's size; homespun wants them to have it."""
    if not said.flag("do_resize", True):
        return
    size = said.get("size", side)
    if size not in (side, {"height": side, "width": side}):
        raise HomespunError(f"{said.path}: size is {shorten(size)}; the model itself sees {side} x {side} pixels")
    options.warn(
        f"the library resizes pictures for this model to {side} x {side} pixels, homespun does not: give it such ones"
    )


def fit(weights: Weights, options: Reading) -> Weights:
    """It is as large as it has to be."""
    return weights


def write(weights: Weights, family: Family, folder: Path) -> None:
    """The one file, in the words of every version of the library."""
    config = weights.config
    assert isinstance(config, ViTConfig)
    size = {"height": config.image_size, "width": config.image_size}
    write_json(
        folder / FILE,
        {
            "image_processor_type": CLASS,
            "do_resize": False,
            "size": size,
            "do_rescale": True,
            "rescale_factor": 1 / LARGEST_PIXEL,
            "do_normalize": True,
            "image_mean": [MEAN] * config.channels,
            "image_std": [DEVIATION] * config.channels,
        },
    )


def keys(weights: Weights, family: Family) -> dict[str, Any]:
    """None: the classes' names are settings."""
    return {}


IMAGES = Companion(read, fit, write, keys)
