"""homespun's own folder of a model: ``model.safetensors`` under our names, ``config.json``, of text ``tokenizer.json``.

What every checkpoint of a run has, without the rest: the simplest thing for a program of one's own to read.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from homespun.common.configuration import flatten
from homespun.common.errors import DamagedFileError, UsageError
from homespun.common.files import read_json, write_json
from homespun.inference.load import find_newest, load_newest, other_reader
from homespun.interchange.forms import find_fault, forms_of
from homespun.interchange.kinds import KINDS
from homespun.interchange.manifest import check_manifest
from homespun.interchange.options import Reading, Writing
from homespun.interchange.stored import open_tensors
from homespun.interchange.weights import Weights
from homespun.layers.lora import merge_adapters
from homespun.layers.quantized import dequantize_linears
from homespun.models.classifier import Classifier
from homespun.models.settings import ModelConfig, PartlyTrainedConfig, model_settings
from homespun.training.checkpoint import write_tensors

CONFIG, TENSORS = "config.json", "model.safetensors"
EXPECTED = "F32"


def write_folder(weights: Weights, folder: Path, options: Writing) -> None:
    """All files."""
    write_json(folder / CONFIG, flatten(weights.config))
    KINDS[weights.config.reads].save(weights.inputs, folder)
    numbers = sum(tensor.numel() for tensor in weights.tensors.values())
    options.begin(numbers)
    write_tensors({name: tensor.contiguous() for name, tensor in weights.tensors.items()}, folder / TENSORS)
    options.advance(numbers)


def read_folder(path: Path, options: Reading) -> Weights:
    """All files, each checked against the others; a checkpoint of a run is such a folder too."""
    folder = path if path.is_dir() else path.parent
    for option, value in (("--tokenizer", options.tokenizer), ("--end-of-text", options.end_of_text)):
        if value is not None:
            raise UsageError(f"{folder} is homespun's own and has all it needs; leave out {option}")
    if options.context:
        raise UsageError(f"{folder} is homespun's own; leave out --context")
    check_manifest(folder)
    config = read_settings(folder / CONFIG)
    source = open_tensors(path)
    inputs = KINDS[config.reads].load(folder, config)
    tensors = {name: source.read(name) for name in source.names()}  # mapped: nothing is copied yet
    if fault := find_fault({name: form.shape for name, form in forms_of(config).items()}, tensors):
        raise DamagedFileError(f"{path}: {fault}")
    options.begin(sum(tensor.numel() for tensor in tensors.values()))
    for name, tensor in tensors.items():
        if source.type_name(name) != EXPECTED:
            raise DamagedFileError(f"{source.file(name)}: {name} has the type {source.type_name(name)}, not {EXPECTED}")
        if not bool(tensor.isfinite().all()):
            raise DamagedFileError(
                f"{source.file(name)}: {name} has numbers that are infinite or no numbers; the file is damaged, or the "
                "model diverged: take an earlier one"
            )
        options.advance(tensor.numel())
    return Weights(config, tensors, inputs)


def read_run(run: Path, warn: Callable[[str], None]) -> Weights:
    """The newest whole checkpoint of a run folder, whatever its model reads; of a finetuned one what is left of it."""
    checkpoint = find_newest(run, warn)
    config = read_settings(checkpoint / CONFIG)
    if config.in_use.reads not in KINDS:
        raise other_reader(run, config, "text")
    if config.in_use == config and not isinstance(config, PartlyTrainedConfig):
        return read_folder(checkpoint, Reading())
    _, model = load_newest(run, config.in_use.reads, warn)
    if isinstance(model, Classifier):
        model = merged(model)
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return Weights(model.config, tensors, KINDS[model.config.reads].load(checkpoint, model.config))


def merged(model: Classifier) -> Classifier:
    """The same as a plain model, without low-rank differences and matrices in few bits; the given one is used up."""
    model.body = dequantize_linears(merge_adapters(model.body))
    model.config = replace(model.config, trained="full", base_bits=32)
    return model.eval()


def read_settings(path: Path) -> ModelConfig:
    """``config.json`` of ours."""
    try:
        return model_settings(read_json(path))
    except (AttributeError, TypeError, UsageError) as error:
        raise DamagedFileError(f"{path} does not fit this version ({error})") from error
