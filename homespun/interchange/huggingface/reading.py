"""A folder in Hugging Face's layout, or OpenAI's of GPT-2 -> ``Weights``.

Whatever is in the folder is somebody else's: every value is checked, and what does not fit is one line that names the
file and the tensor or key.
"""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import torch

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.interchange.forms import Form, forms_of
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.families import family_of_file
from homespun.interchange.huggingface.families.gpt2 import config_of_hparams
from homespun.interchange.huggingface.family import Family
from homespun.interchange.huggingface.tensors import EMBEDDING, HEAD, HEAD_BIAS, read_tensors
from homespun.interchange.huggingface.tokenizer_files import read_tokenizer
from homespun.interchange.manifest import check_manifest
from homespun.interchange.options import Reading
from homespun.interchange.stored import TensorSource, open_tensors
from homespun.interchange.weights import Weights
from homespun.models.settings import TextModelConfig, text_settings
from homespun.tokenizer.tokenizer import Tokenizer

CONFIG, HPARAMS, ADAPTER = "config.json", "hparams.json", "adapter_config.json"
# Published models make their embeddings a little larger than the vocabulary, up to the next multiple of some number
# (Qwen2.5: 271 to 399 rows). More than this is no such padding but another model's tokenizer.
MOST_PADDING = 1023


def read_folder(path: Path, options: Reading) -> Weights:
    """The whole model in a folder; of a file, the folder it lies in says the rest."""
    folder = path if path.is_dir() else path.parent
    check_manifest(folder)
    file = load_config(folder)
    family = family_of_file(file)
    config = settings_of(file, family)
    source = open_tensors(path)
    check_sizes(file, family, config, source)
    tokenizer = read_tokenizer(folder, options.tokenizer, options.end_of_text, options.warn)
    tell_of_another_begin(file, tokenizer, options)
    padding = count_padding(file, config, tokenizer)
    forms = forms_of_file(file, config)
    options.begin(sum(prod(form.shape) for form in forms.values()))
    tensors = read_tensors(family, config, forms, source, options.advance)
    if padding:
        options.warn(
            f"the embedding has {config.vocabulary_size:,} rows for {tokenizer.vocabulary_size:,} tokens; the last "
            f"{padding:,}, which stand for no token, are left out"
        )
        config, tensors = without_padding(config, tensors, tokenizer.vocabulary_size)
    if options.context:
        config, tensors = with_context(config, tensors, options.context)
    return Weights(config, tensors, tokenizer)


def tell_of_another_begin(file: ConfigFile, tokenizer: Tokenizer, options: Reading) -> None:
    """An encoder-decoder may begin what it writes with another token than the one that ends it."""
    begin = file.get("decoder_start_token_id", tokenizer.end_of_text)
    if begin != tokenizer.end_of_text:
        options.warn(
            f"this model begins what it writes with token {begin}, homespun with the end of a text, "
            f"{tokenizer.end_of_text}: it will not write the same"
        )


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


def settings_of(file: ConfigFile, family: Family) -> TextModelConfig:
    """Our settings; a contradiction among them is the file's."""
    values: dict[str, Any] = family.read(file)
    try:
        return text_settings(values)
    except UsageError as error:
        raise DamagedFileError(f"{file.path}: as homespun's setting, {error}") from error


def check_sizes(file: ConfigFile, family: Family, config: TextModelConfig, source: TensorSource) -> None:
    """A size in the configuration that the file cannot have is told before anything is built by it."""
    names = source.names()
    if config.layers > len(names):
        raise DamagedFileError(f"{file.path} asks for {config.layers:,} layers, the weights are {len(names):,} tensors")
    for stored in names:
        if family.full_name(stored) in family.stored_names(EMBEDDING):
            shape = source.shape(stored)
            if shape != (config.vocabulary_size, config.width):
                raise DamagedFileError(
                    f"{source.file(stored)}: {stored} has shape {shape}, {file.path.name} needs "
                    f"{(config.vocabulary_size, config.width)}"
                )


def forms_of_file(file: ConfigFile, config: TextModelConfig) -> dict[str, Form]:
    """The tensors that a configuration asks for; sizes that no machine can count are the file's fault."""
    try:
        return forms_of(config)
    except HomespunError as error:
        raise DamagedFileError(f"{file.path}: {error}") from error


def count_padding(file: ConfigFile, config: TextModelConfig, tokenizer: Tokenizer) -> int:
    """Rows of the embedding behind the last token; a tokenizer that cannot belong to it is refused."""
    rows, tokens = config.vocabulary_size, tokenizer.vocabulary_size
    if tokens > rows or rows - tokens > MOST_PADDING:
        raise HomespunError(
            f"{file.path.parent}: the tokenizer has {tokens:,} tokens, the embedding {rows:,} rows; they do not belong "
            "together: name the right one with --tokenizer"
        )
    return rows - tokens


def without_padding(
    config: TextModelConfig, tensors: dict[str, torch.Tensor], rows: int
) -> tuple[TextModelConfig, dict[str, torch.Tensor]]:
    """Embedding and head with rows for tokens alone: a model must not be able to choose what is no token."""
    short = {name: tensors[name][:rows] for name in (EMBEDDING, HEAD, HEAD_BIAS) if name in tensors}
    return replace(config, vocabulary_size=rows), tensors | short


def with_context(
    config: TextModelConfig, tensors: dict[str, torch.Tensor], context: int
) -> tuple[TextModelConfig, dict[str, torch.Tensor]]:
    """The same model for shorter texts only; what it says of them does not change."""
    if context > config.context:
        raise UsageError(f"--context is {context:,}; the model has seen at most {config.context:,} tokens at once")
    short = {name: tensors[name][:context] for name in ("positions.weight",) if name in tensors}
    return replace(config, context=context), tensors | short
