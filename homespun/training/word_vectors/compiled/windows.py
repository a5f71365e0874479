"""One window: the rows that guess, the words to tell apart, and how all of them move.

In: addresses of addresses: of ``count`` rows, and of ``targets`` rows of outputs, the true one first. Out: the outputs
have moved; MOVES says how the rows should.
"""

import numpy as np

from homespun.tokenizer.compiled.intrinsics import called, inlined, load_64
from homespun.training.word_vectors.compiled.fields import SIGMOID_LIMIT, SIGMOID_STEPS
from homespun.training.word_vectors.compiled.lanes import (
    BYTES,
    add_product,
    load_float,
    load_lanes,
    spread,
    store_float,
    store_lanes,
    total,
    zeros,
)

ZERO, ONE = np.float32(0), np.float32(1)
LIMIT, STEPS = np.float32(SIGMOID_LIMIT), np.float32(SIGMOID_STEPS)


@inlined
def dot(left, right, size):
    products = zeros()
    for place in range(0, size, BYTES):
        products = add_product(load_lanes(left + place), load_lanes(right + place), products)
    return total(products)


@inlined
def sigmoid(value, table):
    """1 / (1 + exp(-value)); what is no number counts as far below zero, so that no place outside is looked up."""
    if value >= LIMIT:
        return ONE
    if not value > -LIMIT:
        return ZERO
    place = (value + LIMIT) * STEPS
    index = int(place)
    lower = load_float(table + 4 * index)
    return lower + (load_float(table + 4 * index + 4) - lower) * (place - np.float32(index))


@called
def guess_and_learn(rows, count, targets, target_count, size, rate, table, errors, moves):
    for row in range(count):
        for target in range(target_count):
            guess = sigmoid(dot(load_64(rows + 8 * row), load_64(targets + 8 * target), size), table)
            truth = ONE if target == 0 else ZERO
            store_float(errors + 4 * (row * target_count + target), rate * (truth - guess))
    for row in range(count):
        for place in range(0, size, BYTES):
            move = zeros()
            for target in range(target_count):
                error = load_float(errors + 4 * (row * target_count + target))
                move = add_product(spread(error), load_lanes(load_64(targets + 8 * target) + place), move)
            store_lanes(moves + row * size + place, move)
    for target in range(target_count):
        address = load_64(targets + 8 * target)
        for place in range(0, size, BYTES):
            moved = load_lanes(address + place)
            for row in range(count):
                error = load_float(errors + 4 * (row * target_count + target))
                moved = add_product(spread(error), load_lanes(load_64(rows + 8 * row) + place), moved)
            store_lanes(address + place, moved)
