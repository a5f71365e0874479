"""homespun's own folder of a model: ``model.safetensors`` under our names, ``config.json``, ``tokenizer.json``.

What every checkpoint of a run has, without the rest: the simplest thing for a program of one's own to read.
"""

from pathlib import Path

from homespun.common.configuration import flatten
from homespun.common.errors import DamagedFileError, UsageError
from homespun.common.files import read_json, write_json
from homespun.interchange.forms import find_fault, forms_of
from homespun.interchange.manifest import check_manifest
from homespun.interchange.options import Reading, Writing
from homespun.interchange.stored import open_tensors
from homespun.interchange.weights import Weights
from homespun.models.settings import TextModelConfig, text_settings
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import write_tensors

CONFIG, TENSORS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
EXPECTED = "F32"


def write_folder(weights: Weights, folder: Path, options: Writing) -> None:
    """The three files."""
    write_json(folder / CONFIG, flatten(weights.config))
    weights.tokenizer.save(folder / TOKENIZER)
    numbers = sum(tensor.numel() for tensor in weights.tensors.values())
    options.begin(numbers)
    write_tensors({name: tensor.contiguous() for name, tensor in weights.tensors.items()}, folder / TENSORS)
    options.advance(numbers)


def read_folder(path: Path, options: Reading) -> Weights:
    """The three files, each checked against the others; a checkpoint of a run is such a folder too."""
    folder = path if path.is_dir() else path.parent
    for option, value in (("--tokenizer", options.tokenizer), ("--end-of-text", options.end_of_text)):
        if value is not None:
            raise UsageError(f"{folder} is homespun's own and has its tokenizer; leave out {option}")
    if options.context:
        raise UsageError(f"{folder} is homespun's own; leave out --context")
    check_manifest(folder)
    config = read_settings(folder / CONFIG)
    source = open_tensors(path)
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    if tokenizer.vocabulary_size != config.vocabulary_size:
        raise DamagedFileError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size:,} tokens, the model {config.vocabulary_size:,}"
        )
    tensors = {name: source.read(name) for name in source.names()}  # mapped: nothing is copied yet
    if fault := find_fault({name: form.shape for name, form in forms_of(config).items()}, tensors):
        raise DamagedFileError(f"{path}: {fault}")
    options.begin(sum(tensor.numel() for tensor in tensors.values()))
    for name, tensor in tensors.items():
        if source.type_name(name) != EXPECTED:
            raise DamagedFileError(f"{source.file(name)}: {name} has the type {source.type_name(name)}, not {EXPECTED}")
        if not bool(tensor.isfinite().all()):
            raise DamagedFileError(
                f"{source.file(name)} is damaged: {name} has numbers that are infinite or no numbers"
            )
        options.advance(tensor.numel())
    return Weights(config, tensors, tokenizer)


def read_settings(path: Path) -> TextModelConfig:
    """``config.json`` of ours."""
    try:
        return text_settings(read_json(path))
    except (AttributeError, TypeError, UsageError) as error:
        raise DamagedFileError(f"{path} does not fit this version ({error})") from error
