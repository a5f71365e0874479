"""The two tables that are learned, as both paths use them.

In: the number of words and dimensions, a seed. Out: ``Tables``: float32 rows, each as long as a whole number of the
vectors that the processor computes with at once, and beginning where these may begin. What is beyond the dimensions is
zero and stays so.
"""

from dataclasses import dataclass

import numpy as np

from homespun.training.word_vectors.vocabulary import Array

LANES = 16  # float32 in one vector of AVX-512; with less the compiler takes two or four for it
LINE_BYTES = 64


@dataclass(frozen=True)
class Tables:
    """``vectors``: words as neighbours, the result; ``outputs``: words in the middle. Both (V, padded)."""

    vectors: Array
    outputs: Array
    dimensions: int

    @property
    def learned(self) -> Array:
        """The vectors without the padding (V, D), not copied."""
        return self.vectors[:, : self.dimensions]

    @property
    def learned_outputs(self) -> Array:
        """The outputs without the padding (V, D), not copied."""
        return self.outputs[:, : self.dimensions]


def make_tables(words: int, dimensions: int, seed: int) -> Tables:
    """Tables as in the published program: vectors small and random, outputs zero, so that guesses begin at one half."""
    padded = rounded_up(dimensions)
    tables = Tables(aligned_zeros((words, padded)), aligned_zeros((words, padded)), dimensions)
    chance = np.random.default_rng(seed)
    tables.learned[:] = (chance.random((words, dimensions), np.float32) - np.float32(0.5)) / np.float32(dimensions)
    return tables


def rounded_up(floats: int) -> int:
    """As many floats, or a few more, as fill whole lanes."""
    return -(-floats // LANES) * LANES


def aligned_zeros(shape: tuple[int, int]) -> Array:
    """Zeros (float32) that begin at a cache line."""
    size = 4 * shape[0] * shape[1]
    raw = np.zeros(size + LINE_BYTES, np.uint8)
    start = -raw.ctypes.data % LINE_BYTES
    return raw[start : start + size].view(np.float32).reshape(shape)
