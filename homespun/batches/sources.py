"""Where the batches of a task come from, by name: one line each.

In: shards of tokens or images and what a task's batches depend on (``Asked``). Out: batches by number to train on
(``Batches``), and every target of the validation split once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from homespun.batches.batch import Batch
from homespun.batches.images import ImageBatches, validation_images
from homespun.batches.next_token import NextTokenBatches, validation_batches
from homespun.batches.shards import TokenShards
from homespun.images.shards import ImageShards


@dataclass(frozen=True)
class Asked:
    """``folder`` of shards; ``rows`` windows of ``context`` tokens; this is part ``rank`` of ``processes``.

    ``shift``: pixels by which images may be moved.
    """

    folder: Path
    context: int
    rows: int
    seed: int = 0
    rank: int = 0
    processes: int = 1
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    shift: int = 0


class Batches(Protocol):
    """Random access: ``batch(n)`` for any n, a pure function of the seed and n. ``windows``: rows of one epoch."""

    windows: int

    def batch(self, number: int) -> Batch: ...


@dataclass(frozen=True)
class Source:
    """How batches of the training split are made, and all of the validation split."""

    training: Callable[[Asked], Batches]
    validation: Callable[[Asked], Iterator[Batch]]


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


SOURCES: dict[str, Source] = {
    "images": Source(image_training, image_validation),
    "next_token": Source(next_token_training, next_token_validation),
}
