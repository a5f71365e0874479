"""Models of text: their tokenizer goes with the weights, and must give the same ids for hostile texts."""

from pathlib import Path
from typing import Any

import torch

from homespun.common.errors import DamagedFileError
from homespun.interchange.differences import refuse
from homespun.interchange.hostile_texts import hostile_texts
from homespun.interchange.kinds.kind import Kind, compare_settings
from homespun.interchange.weights import Weights
from homespun.models.settings import EncoderDecoderConfig, TextModelConfig
from homespun.tokenizer.tokenizer import Tokenizer

FILE = "tokenizer.json"
ROWS, LONGEST_ROW, SEED = 2, 64, 20


def save(tokenizer: Tokenizer, folder: Path) -> Path:
    """The one file."""
    tokenizer.save(folder / FILE)
    return folder / FILE


def load(folder: Path, config: TextModelConfig) -> Tokenizer:
    """It must fit the model."""
    tokenizer = Tokenizer.load(folder / FILE)
    if tokenizer.vocabulary_size != config.vocabulary_size:
        raise DamagedFileError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size:,} tokens, the model {config.vocabulary_size:,}"
        )
    return tokenizer


def record(tokenizer: Tokenizer) -> dict[str, Any]:
    """Its checksum."""
    return {"identity": tokenizer.identity()}


def fixed_batch(config: TextModelConfig) -> tuple[torch.Tensor, ...]:
    """The same token ids (B, T) every time; whoever translates is shown them as source and target."""
    chance = torch.Generator().manual_seed(SEED)
    ids = torch.randint(config.vocabulary_size, (ROWS, min(LONGEST_ROW, config.context)), generator=chance)
    return (ids, ids) if isinstance(config, EncoderDecoderConfig) else (ids,)


def compare(config: TextModelConfig, tokenizer: Tokenizer, found: Weights) -> str:
    """Sizes, and ids."""
    compare_settings(config, found.config, "vocabulary_size", "context")
    return f"ids of {compare_tokenizers(tokenizer, found.tokenizer)} hostile texts"


def compare_tokenizers(wanted: Tokenizer, found: Tokenizer) -> int:
    """The same ids for every hostile text, with special tokens and without; the same marks. How many texts."""
    for key in ("special_tokens", "end_of_text", "chat_template", "vocabulary_size"):
        if getattr(wanted, key) != getattr(found, key):
            raise refuse(f"the tokenizer has another {key.replace('_', ' ')}")
    names = tuple(wanted.special_tokens)
    texts = hostile_texts(names)
    for text in texts:
        for allowed in ((), names):
            if wanted.encode(text, allowed) != found.encode(text, allowed):
                raise refuse(f"the tokenizer gives other ids for {text!r}")
    return len(texts)


def sizes(config: TextModelConfig) -> dict[str, int]:
    """For programs."""
    return {"context": config.context, "tokens": config.vocabulary_size}


def in_words(config: TextModelConfig) -> str:
    """For people."""
    return f"{config.vocabulary_size:,} tokens in the vocabulary, context {config.context:,}"


TEXT = Kind(save, load, record, fixed_batch, "tokens", compare, sizes, in_words)
