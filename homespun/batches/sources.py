"""Where the batches of a task come from, by name: one line each.

In: shards of tokens or images and what a task's batches depend on (``Asked``). Out: batches by number to train on
(``Batches``), every target of the validation split once; of text how many bytes that is, and prompts for the model;
and the figures of a model that knows nothing but frequencies, where a task has something to be compared with.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from homespun.batches.batch import IGNORED, Batch
from homespun.batches.framing import Framing, Marks, SingleText, TextPair
from homespun.batches.hiding import Hiding
from homespun.batches.images import ImageBatches, validation_images
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.batches.masked import MaskedBatches, MaskedRows, masked_validation
from homespun.batches.next_token import NextTokenBatches, validation_batches
from homespun.batches.pairs import Pairs
from homespun.batches.shards import TokenShards, read_manifest
from homespun.batches.unigram import unigram_figures
from homespun.images.shards import ImageShards
from homespun.tokenizer.special import SEPARATOR
from homespun.tokenizer.tokenizer import Tokenizer

PROMPT_CHARACTERS = 32
SOURCES_SHOWN = 3


@dataclass(frozen=True)
class Asked:
    """``folder`` of shards; ``rows`` windows of ``context`` tokens; this is part ``rank`` of ``processes``.

    ``shift``: pixels by which images may be moved. ``model``: its settings (``homespun.models.settings``), which some
    batches follow.
    """

    folder: Path
    context: int
    rows: int
    seed: int = 0
    rank: int = 0
    processes: int = 1
    end_of_text: int = 0
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    shift: int = 0
    model: Any = None


class Batches(Protocol):
    """Random access: ``batch(n)`` for any n, a pure function of the seed and n. ``windows``: rows of one epoch."""

    windows: int

    def batch(self, number: int) -> Batch: ...


def all_bytes(asked: Asked, tokenizer: Tokenizer) -> int:
    """Every byte of the validation split."""
    return read_manifest(asked.folder)["splits"]["validation"]["bytes"]


def first_words(asked: Asked, tokenizer: Tokenizer) -> list[str]:
    """The beginning of the validation text, which the model has never seen, and nothing at all."""
    shards = TokenShards(asked.folder, "validation")
    text = tokenizer.decode(shards.read(1, min(PROMPT_CHARACTERS, len(shards) - 1)).tolist())[:PROMPT_CHARACTERS]
    words = text.rsplit(" ", 1)[0] if " " in text.strip() else text
    return [words.strip(), ""]


def nothing(asked: Asked) -> str:
    """All text is used."""
    return ""


@dataclass(frozen=True)
class Source:
    """How batches of the training split are made, and all of the validation split.

    ``separators``: special tokens that part the texts of a document; none: a document is one text.
    ``text_bytes``: of the text that validation predicts. ``prompts``: texts of the validation split for the model to go
    on with, translate …; the first is shown while it trains. ``left_out``: a line about text that is not used, or "".
    ``baseline``: figures to compare with those of validation.
    """

    training: Callable[[Asked], Batches]
    validation: Callable[[Asked], Iterator[Batch]]
    separators: tuple[str, ...] = ()
    text_bytes: Callable[[Asked, Tokenizer], int] = all_bytes
    prompts: Callable[[Asked, Tokenizer], list[str]] = first_words
    left_out: Callable[[Asked], str] = nothing
    baseline: Callable[[Asked], dict[str, float]] = lambda _: {}


def next_token_training(asked: Asked) -> Batches:
    """Windows of the running text."""
    shards = TokenShards(asked.folder, "train")
    return NextTokenBatches(shards, asked.context, asked.rows, asked.seed, asked.rank, asked.processes)


def next_token_validation(asked: Asked) -> Iterator[Batch]:
    """Windows side by side."""
    return validation_batches(TokenShards(asked.folder, "validation"), asked.context, asked.rows)


def image_training(asked: Asked) -> Batches:
    """Images, shifted by chance."""
    shards = ImageShards(asked.folder, "train")
    return ImageBatches(shards, asked.rows, asked.seed, asked.shift, asked.rank, asked.processes)


def image_validation(asked: Asked) -> Iterator[Batch]:
    """Images as they are."""
    return validation_images(ImageShards(asked.folder, "validation"), asked.rows)


def masked_rows(framing: Callable[[Marks], Framing], asked: Asked) -> MaskedRows:
    """As the settings of the model have them."""
    vocabulary_size = read_manifest(asked.folder)["vocabulary_size"]
    hiding = Hiding.by(asked.special_tokens, vocabulary_size)
    return MaskedRows(framing(Marks.of(asked.special_tokens)), hiding, asked.context, asked.model.masked_share)


def masked_training(framing: Callable[[Marks], Framing], asked: Asked) -> Batches:
    """Rows with hidden tokens."""
    shards, rows = TokenShards(asked.folder, "train"), masked_rows(framing, asked)
    return MaskedBatches(shards, rows, asked.rows, asked.seed, asked.rank, asked.processes)


def every_token_masked(framing: Callable[[Marks], Framing], asked: Asked) -> Iterator[Batch]:
    """Each token hidden once."""
    shards, rows = TokenShards(asked.folder, "validation"), masked_rows(framing, asked)
    return masked_validation(shards, rows, asked.model.validation_passes, asked.rows)


def masked_baseline(asked: Asked) -> dict[str, float]:
    """Guessing by frequency alone."""
    return unigram_figures(asked.folder, list(asked.special_tokens.values()))


def masked(framing: Callable[[Marks], Framing]) -> Source:
    """Hidden tokens in rows of a form."""
    return Source(partial(masked_training, framing), partial(every_token_masked, framing), baseline=masked_baseline)


def pairs_of(asked: Asked, split: str) -> Pairs:
    """The pairs of a split."""
    return Pairs(TokenShards(asked.folder, split), asked.context, asked.end_of_text, asked.special_tokens[SEPARATOR])


def pair_training(asked: Asked) -> Batches:
    """Pairs of like length together."""
    return LikeLengthBatches(pairs_of(asked, "train"), asked.rows, asked.seed, asked.rank, asked.processes)


def pair_validation(asked: Asked) -> Iterator[Batch]:
    """Every pair."""
    return every_row(pairs_of(asked, "validation"), asked.rows)


def long_pairs(asked: Asked) -> str:
    """How many pairs do not fit into the context."""
    splits = {split: pairs_of(asked, split) for split in ("train", "validation")}
    if not any(pairs.left_out for pairs in splits.values()):
        return ""
    counts = (f"{pairs.left_out:,} of {pairs.left_out + len(pairs):,} ({split})" for split, pairs in splits.items())
    return f"pairs longer than the context of {asked.context} tokens are left out: {', '.join(counts)}"


def target_bytes(asked: Asked, tokenizer: Tokenizer) -> int:
    """Of the targets, without those of pairs that are left out."""
    return bytes_of_targets(pair_validation(asked), tokenizer)


def bytes_of_targets(batches: Iterable[Batch], tokenizer: Tokenizer) -> int:
    """Of all that is to be predicted; special tokens have none."""
    sizes = np.zeros(tokenizer.vocabulary_size, np.int64)
    for token in set(tokenizer.token_ids()) - set(tokenizer.special_tokens.values()):
        sizes[token] = len(tokenizer.token_bytes(token))
    return sum(int(sizes[batch.targets[batch.targets != IGNORED].numpy()].sum()) for batch in batches)


def first_sources(asked: Asked, tokenizer: Tokenizer) -> list[str]:
    """The first few sources of the validation split."""
    pairs = pairs_of(asked, "validation")
    return [tokenizer.decode(pairs.source(number)) for number in range(min(SOURCES_SHOWN, len(pairs)))]


SOURCES: dict[str, Source] = {
    "images": Source(image_training, image_validation),
    "next_token": Source(next_token_training, next_token_validation),
    "masked": masked(SingleText),
    "masked_pairs": masked(TextPair),
    "translation": Source(pair_training, pair_validation, (SEPARATOR,), target_bytes, first_sources, long_pairs),
}
