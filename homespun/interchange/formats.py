"""The formats there are, by name, and which one a path has. Each is imported only when it is used.

A reader is ``read_folder(path, Reading) -> Weights``; a writer fills an empty folder: ``write_folder(weights, folder,
Writing)``. To add one: two functions, one entry here.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import explain_os_error
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.tokenizer.formats.reading import json_of, read_bytes

GGUF_MARK, GGUF_ENDING = b"GGUF", ".gguf"
# How far a weight may be off after it was stored, as a share of the largest weight of its tensor. Quantized ones are
# rounded to steps of 1/127 and 1/8 of the largest weight of their block, whose scale is itself a half; Q4_0 has no step
# for one of the two ends of its range, so it can be off by a whole one there.
ROUNDING = {"F32": 0.0, "F16": 2.0**-11, "BF16": 2.0**-8, "Q8_0": 0.6 / 127, "Q4_0": 1.1 / 8}


@dataclass(frozen=True)
class Format:
    """``module`` has ``read_folder`` and ``write_folder``. ``numbers``: the types of weights that it can hold."""

    name: str
    module: str
    numbers: tuple[str, ...]

    def read(self, path: Path, options: Reading) -> Weights:
        """A model from a folder or a file."""
        return self.function("read_folder")(path, options)

    def write(self, weights: Weights, folder: Path, options: Writing) -> None:
        """A model into an empty folder; a type of weights that the format does not have is a ``UsageError``."""
        if options.number not in self.numbers:
            raise UsageError(f"--number {options.number}: the format {self.name} has {', '.join(self.numbers)}")
        self.function("write_folder")(weights, folder, options)

    def function(self, name: str) -> Callable[..., Any]:
        """Of the format's module."""
        return getattr(importlib.import_module(self.module), name)


FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("huggingface", "homespun.interchange.huggingface.folder", ("F32", "F16", "BF16")),
        Format("gguf", "homespun.interchange.gguf_folder", ("F32", "F16", "BF16", "Q8_0", "Q4_0")),
        Format("safetensors", "homespun.interchange.plain", ("F32",)),
        Format("rwkv", "homespun.interchange.rwkv.folder", ("F32", "F16", "BF16")),
    )
}


def recognize(path: Path) -> Format:
    """The format of a folder or a file, by what is in it."""
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}")
    if path.is_file() and is_gguf(path):
        return FORMATS["gguf"]
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (path / "run.json").exists():
        raise UsageError(f"{path} is a run folder already; use it as it is")
    config = folder / "config.json"
    if config.is_file():
        value = json_of(config, read_bytes(config))
        return FORMATS["safetensors" if isinstance(value, dict) and "architecture" in value else "huggingface"]
    if path.is_dir() and any(path.glob(f"*{GGUF_ENDING}")):
        return FORMATS["gguf"]
    return FORMATS["rwkv" if is_rwkv_file(path) else "huggingface"]


def is_rwkv_file(path: Path) -> bool:
    """Weights that lie alone: by the names in the file, or an ending that only RWKV's checkpoints have left."""
    from homespun.interchange.rwkv.shapes import is_rwkv
    from homespun.interchange.stored.safetensors_file import SafetensorsFile

    alone = [path] if path.is_file() else [*path.glob("*.safetensors"), *path.glob("*.pth")]
    if len(alone) != 1 or alone[0].suffix == ".pth":
        return len(alone) == 1
    try:
        return alone[0].suffix == ".safetensors" and is_rwkv(SafetensorsFile(alone[0]))
    except HomespunError:
        return False


def is_gguf(path: Path) -> bool:
    """By its first bytes, or by its name."""
    try:
        with open(path, "rb") as file:
            return file.read(len(GGUF_MARK)) == GGUF_MARK or path.suffix == GGUF_ENDING
    except OSError as error:
        raise explain_os_error(error, "cannot read") from error
