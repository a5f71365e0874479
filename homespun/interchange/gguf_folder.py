"""GGUF among the formats: a folder with ``model.gguf`` and the ``Modelfile`` that makes an ollama model of it."""

from pathlib import Path

from homespun.common.errors import HomespunError, UsageError
from homespun.interchange.gguf import read_gguf, write_gguf, write_modelfile
from homespun.interchange.gguf.splits import has_equal
from homespun.interchange.manifest import check_manifest
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights

FILE, ENDING = "model.gguf", ".gguf"


def write_folder(weights: Weights, folder: Path, options: Writing) -> None:
    """Both files."""
    numbers = sum(tensor.numel() for tensor in weights.tensors.values())
    options.begin(numbers)
    write_gguf(weights, folder / FILE, number=options.number, nearest_split=options.nearest_split)
    write_modelfile(folder, weights, folder / FILE)
    options.advance(numbers)
    if options.nearest_split and not has_equal(weights.tokenizer.vocabulary):
        options.warn(
            f"llama.cpp has no split equal to {weights.tokenizer.pattern}; with the nearest one it gives the model "
            "other tokens for some texts than it has learned from"
        )


def read_folder(path: Path, options: Reading) -> Weights:
    """A ``.gguf``, or the only one in a folder. The tokenizer is in the file."""
    for option, value in (("--tokenizer", options.tokenizer), ("--end-of-text", options.end_of_text)):
        if value is not None:
            raise UsageError(f"{path} has its tokenizer in it; leave out {option}")
    if options.context:
        raise UsageError(f"{path} says how long a text may be; leave out --context")
    if path.is_dir():
        check_manifest(path)
        path = only_file(path)
    weights = read_gguf(path)
    numbers = sum(tensor.numel() for tensor in weights.tensors.values())
    options.begin(numbers)
    options.advance(numbers)
    return weights


def only_file(folder: Path) -> Path:
    """The ``.gguf`` in a folder."""
    files = sorted(folder.glob(f"*{ENDING}"))
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or f"no {ENDING}"
        raise HomespunError(f"{folder} has {names}; name one file")
    return files[0]
