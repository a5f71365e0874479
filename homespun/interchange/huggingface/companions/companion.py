"""What has to be known of the files beside the weights of models that read one kind of thing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.interchange.options import Reading
from homespun.interchange.weights import Weights


@dataclass(frozen=True)
class Companion:
    """``read(folder, config_file, config, options)``: what ``Weights.inputs`` is to be; what does not fit the model, or
    is not done here in the same way, is one line. ``fit(weights, options)``: the same model, with what the user asked
    for and room for no more than it needs. ``write(weights, family, folder)``: the files. ``keys(weights, family)``:
    further entries of ``config.json``.
    """

    read: Callable[[Path, ConfigFile, Any, Reading], Any]
    fit: Callable[[Weights, Reading], Weights]
    write: Callable[[Weights, Family, Path], None]
    keys: Callable[[Weights, Family], dict[str, Any]]
