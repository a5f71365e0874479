"""The order of training windows: a pseudo-random permutation that is computed, not stored; and other chances.

``permute(indices, size, key)`` maps 0 … size-1 onto itself. It is a four-round Feistel network with
cycle walking (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains"), so any position of any
epoch (``places_in_epochs``) is found in constant time and memory: nothing to save with a checkpoint, the same on every
machine and for any number of workers. ``chances(key, count)`` are numbers for whatever else is drawn.
"""

import numpy as np

ROUNDS = 4
STRIDE = np.uint64(0x9E3779B97F4A7C15)
MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of SplitMix64 (Steele et al. 2014)


def mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finisher: every input bit moves every output bit. uint64 in and out."""
    values = (values ^ (values >> np.uint64(30))) * MIXERS[0]
    values = (values ^ (values >> np.uint64(27))) * MIXERS[1]
    return values ^ (values >> np.uint64(31))


def key_of(seed: int, number: int) -> int:
    """One 64-bit key for a number (of an epoch, a step, a row) under a seed."""
    pair = np.array([seed & (2**64 - 1), number], dtype=np.uint64)
    return int(mix(mix(pair[:1] + STRIDE) ^ pair[1:])[0])


def chances(key: int, count: int) -> np.ndarray:
    """The first ``count`` numbers of SplitMix64 that begins at ``key``, as float64 (count,) from 0 up to below 1."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * STRIDE
    return (mix(steps + np.uint64(key)) >> np.uint64(11)) * 2.0**-53


def permute(indices: np.ndarray, size: int, key: int) -> np.ndarray:
    """Where each of ``indices`` (int64, below ``size``) goes in the permutation that ``key`` names."""
    half_bits = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half_bits)) - 1)
    out = indices.astype(np.uint64)
    outside = np.ones(len(out), dtype=bool)
    while outside.any():
        walked = out[outside]
        left, right = walked >> half_bits, walked & mask
        for round_number in range(ROUNDS):
            round_key = np.uint64((key + round_number * 0x9E3779B97F4A7C15) & (2**64 - 1))
            left, right = right, left ^ (mix(right ^ round_key) & mask)
        out[outside] = (left << half_bits) | right
        outside = out >= size
    return out.astype(np.int64)


def places_in_epochs(numbers: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Which of ``size`` things each number of the endless row of epochs has; every epoch is another permutation."""
    epochs, places = numbers // size, numbers % size
    found = np.empty_like(places)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        found[chosen] = permute(places[chosen], size, key_of(seed, int(epoch)))
    return found
