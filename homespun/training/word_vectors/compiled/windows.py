"""One window: the rows that guess, the words to tell apart, and how all of them move.

In: the addresses of some rows, and of some targets (rows of the other table), the true one first. Out: the targets have
moved; MOVES says how the rows should. All reads are from copies, which no other thread changes meanwhile, and which lie
behind each other; each number that is loaded serves for two products where it can.
"""

import numpy as np

from homespun.tokenizer.compiled.intrinsics import called, inlined, load_64, store_64
from homespun.tokenizer.compiled.walk import get
from homespun.training.word_vectors.compiled.fields import ERRORS, MOVES, RATE, ROW_BYTES, ROW_COPIES, TARGET_COPIES
from homespun.training.word_vectors.compiled.lanes import (
    BYTES,
    add,
    add_product,
    divide,
    load_float,
    load_lanes,
    multiply,
    spread,
    store_float,
    store_lanes,
    total,
    within,
    zeros,
)
from homespun.training.word_vectors.compiled.sigmoid import LIMIT, fraction_of_tanh

BOUND = np.float32(LIMIT)
NUMERATOR, DENOMINATOR = fraction_of_tanh()
HALF = np.float32(0.5)


@inlined
def polynomial(coefficients, variable):
    value = zeros()
    for coefficient in coefficients:
        value = add_product(value, variable, spread(coefficient))
    return value


@inlined
def copy_rows(addresses, count, size, copies):
    """Put rows behind each other, as they are before anything moves."""
    for row in range(count):
        source, target = load_64(addresses + 8 * row), copies + row * size
        for place in range(0, size, BYTES):
            store_lanes(target + place, load_lanes(source + place))


@inlined
def add_nothing(targets, count, size, copies):
    """One more target of zeros, so that they can be taken two by two; it is also where its moves go."""
    nothing = copies + count * size
    store_64(targets + 8 * count, nothing)
    for place in range(0, size, BYTES):
        store_lanes(nothing + place, zeros())


@inlined
def guess(rows, count, targets, target_count, size, guesses):
    """The dot product of every row with every target."""
    for row in range(count):
        source = rows + row * size
        for target in range(0, target_count, 2):
            one, two = zeros(), zeros()
            first = targets + target * size
            for place in range(0, size, BYTES):
                lanes = load_lanes(source + place)
                one = add_product(lanes, load_lanes(first + place), one)
                two = add_product(lanes, load_lanes(first + size + place), two)
            store_float(guesses, total(one))
            store_float(guesses + 4, total(two))
            guesses += 8


@inlined
def to_errors(guesses, count, target_count, rate):
    """Put rate (truth - sigmoid(x)) in the place of each guess x: sigmoid(x) = 1/2 + tanh(x / 2) / 2."""
    for place in range(0, 4 * count * target_count, BYTES):
        half = within(multiply(load_lanes(guesses + place), spread(HALF)), spread(BOUND))
        square = multiply(half, half)
        tanh = divide(multiply(half, polynomial(NUMERATOR, square)), polynomial(DENOMINATOR, square))
        store_lanes(guesses + place, add_product(tanh, spread(-HALF * rate), spread(-HALF * rate)))
    for row in range(count):
        true = guesses + 4 * row * target_count
        store_float(true, load_float(true) + rate)


@inlined
def note_moves(errors, count, targets, target_count, size, moves):
    """How each row should move: the targets, times its errors."""
    for row in range(count):
        for place in range(0, size, BYTES):
            one, two = zeros(), zeros()
            address, error = targets + place, errors + 4 * row * target_count
            for _ in range(0, target_count, 2):
                one = add_product(spread(load_float(error)), load_lanes(address), one)
                two = add_product(spread(load_float(error + 4)), load_lanes(address + size), two)
                address += 2 * size
                error += 8
            store_lanes(moves + row * size + place, add(one, two))


@inlined
def move_targets(errors, rows, count, targets, target_count, size):
    """Move each target by the rows, times their errors. The two of a pair may be the same."""
    for target in range(0, target_count, 2):
        first, second = load_64(targets + 8 * target), load_64(targets + 8 * target + 8)
        for place in range(0, size, BYTES):
            one, two = zeros(), zeros()
            address, error = rows + place, errors + 4 * target
            for _ in range(count):
                lanes = load_lanes(address)
                one = add_product(spread(load_float(error)), lanes, one)
                two = add_product(spread(load_float(error + 4)), lanes, two)
                address += size
                error += 4 * target_count
            store_lanes(first + place, add(load_lanes(first + place), one))
            store_lanes(second + place, add(load_lanes(second + place), two))


@called
def guess_and_learn(work, rows, count, targets, target_count):
    """``rows`` and ``targets`` are addresses of addresses, with room for one more target."""
    size, errors = get(work, ROW_BYTES), get(work, ERRORS)
    row_copies, target_copies = get(work, ROW_COPIES), get(work, TARGET_COPIES)
    copy_rows(rows, count, size, row_copies)
    copy_rows(targets, target_count, size, target_copies)
    if target_count & 1:
        add_nothing(targets, target_count, size, target_copies)
        target_count += 1
    guess(row_copies, count, target_copies, target_count, size, errors)
    to_errors(errors, count, target_count, load_float(get(work, RATE)))
    note_moves(errors, count, target_copies, target_count, size, get(work, MOVES))
    move_targets(errors, row_copies, count, targets, target_count, size)
