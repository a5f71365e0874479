"""Where the batches of a task come from, by name: one line each.

In: shards of tokens or images and what a task's batches depend on (``Asked``). Out: batches by number to train on
(``Batches``), and every target of the validation split once; and the figures of a model that knows nothing but
frequencies, where a task has something to be compared with.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from homespun.batches.batch import Batch
from homespun.batches.framing import Framing, Marks, SingleText, TextPair
from homespun.batches.hiding import Hiding
from homespun.batches.images import ImageBatches, validation_images
from homespun.batches.masked import MaskedBatches, MaskedRows, masked_validation
from homespun.batches.next_token import NextTokenBatches, validation_batches
from homespun.batches.shards import TokenShards, read_manifest
from homespun.batches.unigram import unigram_figures
from homespun.images.shards import ImageShards


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
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    shift: int = 0
    model: Any = None


class Batches(Protocol):
    """Random access: ``batch(n)`` for any n, a pure function of the seed and n. ``windows``: rows of one epoch."""

    windows: int

    def batch(self, number: int) -> Batch: ...


@dataclass(frozen=True)
class Source:
    """How batches of the training split are made, and all of the validation split; and figures to compare with."""

    training: Callable[[Asked], Batches]
    validation: Callable[[Asked], Iterator[Batch]]
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
    return Source(partial(masked_training, framing), partial(every_token_masked, framing), masked_baseline)


SOURCES: dict[str, Source] = {
    "images": Source(image_training, image_validation),
    "next_token": Source(next_token_training, next_token_validation),
    "masked": masked(SingleText),
    "masked_pairs": masked(TextPair),
}
