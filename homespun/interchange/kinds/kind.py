"""What has to be known of models that read one kind of thing, to move them and to see that they arrived."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homespun.interchange.differences import refuse
from homespun.interchange.weights import Weights
from homespun.models.settings import ModelConfig


@dataclass(frozen=True)
class Kind:
    """``inputs`` below is what ``Weights.inputs`` is of this kind.

    ``save(inputs, folder)``: into a folder of homespun's own; its file there, if it has one. ``load(folder, config)``:
    back, checked. ``record(inputs)``: what a checkpoint says of it. ``batch(config)``: what the model is asked, tensors
    (B, …), the same every time; ``unit``: what logits are made for each of, in words. ``compare(config, inputs,
    found)``: a ``HomespunError`` for the first difference to the ``Weights`` that were found, else what was compared,
    in words. ``sizes(config)``: what the model can be shown, for programs; ``in_words(config)``: the same for people.
    """

    save: Callable[[Any, Path], Path | None]
    load: Callable[[Path, Any], Any]
    record: Callable[[Any], dict[str, Any]]
    batch: Callable[[Any], tuple[torch.Tensor, ...]]
    unit: str
    compare: Callable[[Any, Any, Weights], str]
    sizes: Callable[[Any], dict[str, int]]
    in_words: Callable[[Any], str]


def compare_settings(wanted: ModelConfig, found: ModelConfig, *keys: str) -> None:
    """What logits on a small batch would not show."""
    for key in keys:
        if getattr(wanted, key) != getattr(found, key, None):
            raise refuse(f"{key} is {getattr(found, key, None)} instead of {getattr(wanted, key)}")
