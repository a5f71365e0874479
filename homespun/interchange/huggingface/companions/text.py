"""Beside a model of text: its tokenizer (``tokenizer_files``), with rows of the embedding for each of its tokens."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from homespun.common.errors import HomespunError, UsageError
from homespun.interchange.huggingface.companions.companion import Companion
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.interchange.huggingface.tensors import EMBEDDING, HEAD, HEAD_BIAS
from homespun.interchange.huggingface.tokenizer_files import read_tokenizer, special_ids, write_tokenizer
from homespun.interchange.options import Reading
from homespun.interchange.weights import Weights
from homespun.models.settings import TextModelConfig
from homespun.tokenizer.tokenizer import Tokenizer

# Published models make their embeddings a little larger than the vocabulary, up to the next multiple of some number
# (Qwen2.5: 271 to 399 rows). More than this is no such padding but another model's tokenizer.
MOST_PADDING = 1023


def read(folder: Path, file: ConfigFile, config: TextModelConfig, options: Reading) -> Tokenizer:
    """The folder's tokenizer, or the one that was named; one that cannot belong to the embedding is refused."""
    tokenizer = read_tokenizer(folder, options.tokenizer, options.end_of_text, options.warn)
    tell_of_another_begin(file, tokenizer, options)
    rows, tokens = config.vocabulary_size, tokenizer.vocabulary_size
    if tokens > rows or rows - tokens > MOST_PADDING:
        raise HomespunError(
            f"{folder}: the tokenizer has {tokens:,} tokens, the embedding {rows:,} rows; they do not belong together: "
            "name the right one with --tokenizer"
        )
    return tokenizer


def tell_of_another_begin(file: ConfigFile, tokenizer: Tokenizer, options: Reading) -> None:
    """An encoder-decoder may begin what it writes with another token than the one that ends it."""
    begin = file.get("decoder_start_token_id", tokenizer.end_of_text)
    if begin != tokenizer.end_of_text:
        options.warn(
            f"this model begins what it writes with token {begin}, homespun with the end of a text, "
            f"{tokenizer.end_of_text}: it will not write the same"
        )


def fit(weights: Weights, options: Reading) -> Weights:
    """Without rows behind the last token, and with the context that was asked for."""
    config, tensors, tokenizer = weights.config, weights.tensors, weights.tokenizer
    assert isinstance(config, TextModelConfig)
    padding = config.vocabulary_size - tokenizer.vocabulary_size
    if padding:
        options.warn(
            f"the embedding has {config.vocabulary_size:,} rows for {tokenizer.vocabulary_size:,} tokens; the last "
            f"{padding:,}, which stand for no token, are left out"
        )
        config, tensors = without_padding(config, tensors, tokenizer.vocabulary_size)
    if options.context:
        config, tensors = with_context(config, tensors, options.context)
    return Weights(config, tensors, tokenizer)


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


def write(weights: Weights, family: Family, folder: Path) -> None:
    """``tokenizer.json`` and the files around it."""
    assert isinstance(weights.config, TextModelConfig)
    write_tokenizer(weights.tokenizer, weights.config.context, folder, family.ids_of_end)


def keys(weights: Weights, family: Family) -> dict[str, Any]:
    """The ids that begin and end a text."""
    return special_ids(weights.tokenizer, family.ids_of_end) | {"use_cache": True}


TEXT = Companion(read, fit, write, keys)
