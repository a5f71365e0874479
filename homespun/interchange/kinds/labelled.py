"""Models that sort texts into classes: the tokenizer goes with the weights, and the classes' names keep their order."""

from pathlib import Path

import torch

from homespun.interchange.kinds import text
from homespun.interchange.kinds.kind import Kind, compare_settings
from homespun.interchange.weights import Weights
from homespun.models.settings import ClassifierConfig
from homespun.tokenizer.tokenizer import Tokenizer

TEXTS, SEED = 4, 20


def load(folder: Path, config: ClassifierConfig) -> Tokenizer:
    """It must fit the body."""
    return text.load(folder, config.body)


def fixed_batch(config: ClassifierConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The same token ids (B, T) every time, of texts of several lengths, and which of them are text (B, T)."""
    longest = 2 * config.window if config.windows > 1 else min(text.LONGEST_ROW, config.window)
    chance = torch.Generator().manual_seed(SEED)
    ids = torch.randint(config.body.vocabulary_size, (TEXTS, longest), generator=chance)
    lengths = torch.tensor([max(1, longest * (TEXTS - number) // TEXTS) for number in range(TEXTS)])
    return ids, (torch.arange(longest) < lengths[:, None]).long()


def compare(config: ClassifierConfig, tokenizer: Tokenizer, found: Weights) -> str:
    """Classes, sizes, and ids."""
    compare_settings(config, found.config, "labels", "positions_in_row")
    assert isinstance(found.config, ClassifierConfig)
    compare_settings(config.body, found.config.body, "vocabulary_size", "context")
    count = text.compare_tokenizers(tokenizer, found.tokenizer)
    return f"names of {config.outputs:,} classes and ids of {count} hostile texts"


def sizes(config: ClassifierConfig) -> dict[str, int]:
    """For programs."""
    return {"classes": config.outputs, "length": config.positions_in_row, "tokens": config.body.vocabulary_size}


def in_words(config: ClassifierConfig) -> str:
    """For people."""
    return f"{config.outputs:,} classes, texts of up to {config.positions_in_row:,} tokens"


LABELLED = Kind(text.save, load, text.record, fixed_batch, "texts", compare, sizes, in_words)
