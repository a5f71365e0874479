"""Batches of images: pixels (N, S, S, K) of uint8 in, inputs (B, K, S, S) from -1 to 1 and one target each (B,) out.

``ImageBatches`` (training): which images make batch number n, and how far each is shifted, is a pure function of the
seed and n; an epoch visits every image once. ``validation_images``: every image of the split once, as it is.
"""

from collections.abc import Iterator

import numpy as np
import torch

from homespun.batches.batch import Batch
from homespun.batches.order import key_of, mix, places_in_epochs
from homespun.images.shards import ImageShards

SHIFTS = (1 << 32) - 1  # stands where keys have the number of an epoch, which never is so large
HALF_RANGE = 127.5  # pixels of 0 … 255 become numbers of -1 … 1, as in the authors' own program


class ImageBatches:
    """Random access to training batches: ``batch(n)`` for any n, in constant time."""

    def __init__(
        self, shards: ImageShards, batch_size: int, seed: int, shift: int, rank: int = 0, processes: int = 1
    ) -> None:
        """``batch_size`` B images, moved up to ``shift`` pixels; this process makes part ``rank`` of ``processes``."""
        self.shards = shards
        self.batch_size = batch_size
        self.seed = seed
        self.shift = shift
        self.rows = batch_size // processes
        self.first_row = rank * self.rows
        self.windows = len(shards)  # rows of one epoch

    def batch(self, number: int) -> Batch:
        """Batch ``number`` (from 0), or this process's rows of it."""
        first = number * self.batch_size + self.first_row
        numbers = np.arange(first, first + self.rows, dtype=np.int64)
        chosen = places_in_epochs(numbers, len(self.shards), self.seed)
        images = shifted(self.shards.pixels[chosen], chance_shifts(numbers, self.shift, self.seed))
        return batch_of(images, self.shards.classes[chosen])


def chance_shifts(numbers: np.ndarray, largest: int, seed: int) -> np.ndarray:
    """Pixels down and to the right, (B, 2), for each number of the endless row: from ``-largest`` to ``largest``."""
    bits = mix(mix(numbers.astype(np.uint64)) ^ np.uint64(key_of(seed, SHIFTS)))
    halves = np.stack([bits >> np.uint64(32), bits & np.uint64(0xFFFFFFFF)], axis=1)
    return (halves % np.uint64(2 * largest + 1)).astype(np.int64) - largest


def shifted(images: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Images (B, S, S, K), each moved by its own shift (B, 2); what comes into sight repeats the pixels at the edge."""
    side = images.shape[1]
    places = np.clip(np.arange(side) - shifts[:, :, None], 0, side - 1)  # (B, 2, S)
    return images[np.arange(len(images))[:, None, None], places[:, 0, :, None], places[:, 1, None, :]]


def batch_of(images: np.ndarray, classes: np.ndarray) -> Batch:
    """Pixels (B, S, S, K) and classes (B,) as a model wants them."""
    return Batch(inputs_of(images), torch.from_numpy(classes.astype(np.int64)))


def inputs_of(images: np.ndarray) -> torch.Tensor:
    """Pixels (B, S, S, K) of uint8 -> (B, K, S, S) from -1 to 1."""
    pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format) / HALF_RANGE - 1


def validation_images(shards: ImageShards, rows: int) -> Iterator[Batch]:
    """All images in order, ``rows`` at once."""
    for begin in range(0, len(shards), rows):
        yield batch_of(shards.pixels[begin : begin + rows], shards.classes[begin : begin + rows])
