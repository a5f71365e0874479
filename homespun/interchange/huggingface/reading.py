"""A folder in Hugging Face's layout, or OpenAI's of GPT-2 -> ``Weights``.

Whatever is in the folder is somebody else's: every value is checked, and what does not fit is one line that names the
file and the tensor or key.
"""

from math import prod
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.interchange.forms import Form
from homespun.interchange.huggingface.companions import COMPANIONS
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.families import family_of_file
from homespun.interchange.huggingface.families.gpt2 import config_of_hparams
from homespun.interchange.huggingface.family import Family
from homespun.interchange.huggingface.tensors import EMBEDDING, read_tensors
from homespun.interchange.manifest import check_manifest
from homespun.interchange.options import Reading
from homespun.interchange.stored import TensorSource, open_tensors
from homespun.interchange.weights import Weights
from homespun.models.settings import ModelConfig, TextModelConfig, model_settings

CONFIG, HPARAMS, ADAPTER = "config.json", "hparams.json", "adapter_config.json"


def read_folder(path: Path, options: Reading) -> Weights:
    """The whole model in a folder; of a file, the folder it lies in says the rest."""
    folder = path if path.is_dir() else path.parent
    check_manifest(folder)
    file = load_config(folder)
    family = family_of_file(file)
    config = settings_of(file, family)
    source = open_tensors(path)
    check_sizes(file, family, config, source)
    companion = COMPANIONS[config.reads]
    inputs = companion.read(folder, file, config, options)
    forms = forms_of_file(file, family, config)
    options.begin(sum(prod(form.shape) for form in forms.values()))
    tensors = read_tensors(family, config, forms, source, options.advance)
    try:
        tensors = family.recast.incoming(tensors, config)
    except HomespunError as error:
        raise HomespunError(f"{folder}: {error}") from error
    return companion.fit(Weights(config, tensors, inputs), options)


def load_config(folder: Path) -> ConfigFile:
    """``config.json``, or OpenAI's ``hparams.json`` in its words."""
    if (folder / CONFIG).is_file():
        return ConfigFile.load(folder / CONFIG)
    if (folder / HPARAMS).is_file():
        return ConfigFile(folder / HPARAMS, config_of_hparams(ConfigFile.load(folder / HPARAMS).values))
    if (folder / ADAPTER).is_file():
        raise UsageError(
            f"{folder} is an adapter without the model that it is for; import that with --adapter {folder}"
        )
    raise HomespunError(f"{folder} has no {CONFIG} (and no {HPARAMS}), which says what model the weights are of")


def settings_of(file: ConfigFile, family: Family) -> ModelConfig:
    """Our settings; a contradiction among them is the file's."""
    values: dict[str, Any] = family.read(file)
    try:
        return model_settings(values)
    except UsageError as error:
        raise DamagedFileError(f"{file.path}: as homespun's setting, {error}") from error


def check_sizes(file: ConfigFile, family: Family, config: ModelConfig, source: TensorSource) -> None:
    """A size in the configuration that the file cannot have is told before anything is built by it."""
    names = source.names()
    if config.layers > len(names):
        raise DamagedFileError(f"{file.path} asks for {config.layers:,} layers, the weights are {len(names):,} tensors")
    if not isinstance(config, TextModelConfig):
        return
    for stored in names:
        if family.full_name(stored) in family.stored_names(EMBEDDING):
            shape = source.shape(stored)
            if shape != (config.vocabulary_size, config.width):
                raise DamagedFileError(
                    f"{source.file(stored)}: {stored} has shape {shape}, {file.path.name} needs "
                    f"{(config.vocabulary_size, config.width)}"
                )


def forms_of_file(file: ConfigFile, family: Family, config: ModelConfig) -> dict[str, Form]:
    """The tensors that a configuration asks for; sizes that no machine can count are the file's fault."""
    try:
        return family.recast.forms(config)
    except HomespunError as error:
        raise DamagedFileError(f"{file.path}: {error}") from error
