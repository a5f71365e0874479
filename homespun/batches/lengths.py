"""How long the rows of a batch are made: a few lengths instead of every one. A length in, the next of them out.

Kernels prepare themselves for every shape that they meet and keep what they have prepared: oneDNN's in bf16 about 3 MB
for each shape of a small model's batch, which for texts of any length had come to 0.7 GB. Beyond 64, where a little is
not much, lengths are farther apart: never more than a quarter of a row, or seven places, is filled up for it.
"""

STEP = 8
STEPS_IN_OCTAVE = 4


def usual_length(length: int) -> int:
    """8, 16, 24 … 64, 80, 96, 112, 128, 160 …: the first of these that is not below ``length``."""
    octave = 1 << max(0, length - 1).bit_length() >> 1  # the power of two below it
    step = max(STEP, octave // STEPS_IN_OCTAVE)
    return -(-length // step) * step


def row_length(length: int, window: int) -> int:
    """A usual length within a window; a whole number of windows beyond it."""
    return min(usual_length(length), window) if length <= window else -(-length // window) * window
