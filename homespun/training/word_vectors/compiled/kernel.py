"""Passages -> windows -> steps: the kernels of both methods.

In: a workspace (``fields``). Out: changed tables, and the state of the random numbers.
"""

import numpy as np

from homespun.tokenizer.compiled.intrinsics import called, inlined, load_32, load_64, prefetch, store_64
from homespun.tokenizer.compiled.walk import get, put
from homespun.training.word_vectors.compiled.draws import below, draw_word, keep_words, next_state
from homespun.training.word_vectors.compiled.fields import (
    CONTEXTS,
    DRAW,
    END,
    ENDS,
    FIRST,
    IDS,
    KEEP,
    KEPT,
    MEAN,
    MOVES,
    NEGATIVES,
    NEXT_TARGETS,
    OUTPUTS,
    REACH,
    ROW_BYTES,
    STATE,
    TARGETS,
    VECTORS,
    WORDS,
)
from homespun.training.word_vectors.compiled.lanes import (
    BYTES,
    add,
    add_product,
    load_lanes,
    spread,
    store_lanes,
    zeros,
)
from homespun.training.word_vectors.compiled.windows import guess_and_learn

ONE = np.float32(1)


@called
def find_contexts(work, place, reach, kept_count):
    """Note the addresses of the rows around a place; how many they are."""
    kept, contexts, vectors, size = get(work, KEPT), get(work, CONTEXTS), get(work, VECTORS), get(work, ROW_BYTES)
    count = 0
    for other in range(max(0, place - reach), min(kept_count, place + reach + 1)):
        if other != place:
            store_64(contexts + 8 * count, vectors + size * load_32(kept + 4 * other))
            count += 1
    return count


@inlined
def note_target(targets, count, row, size):
    """Note the address of a row, and begin to bring it near: its window comes after the one being learned."""
    store_64(targets + 8 * count, row)
    for place in range(0, size, BYTES):
        prefetch(row + place)


@called
def draw_targets(work, targets, centre, state):
    """Note the addresses of the outputs of the centre and of random words; how many they are, and the state."""
    outputs, size, table, words = get(work, OUTPUTS), get(work, ROW_BYTES), get(work, DRAW), get(work, WORDS)
    note_target(targets, 0, outputs + size * centre, size)
    count = 1
    for _ in range(get(work, NEGATIVES)):
        word, state = draw_word(table, words, state)
        note_target(targets, count, outputs + size * word, size)
        count += word != centre
    return count, state


@inlined
def move_row(row, move, size):
    for place in range(0, size, BYTES):
        store_lanes(row + place, add(load_lanes(row + place), load_lanes(move + place)))


@inlined
def skip_gram_step(work, count, targets, target_count):
    contexts, moves, size = get(work, CONTEXTS), get(work, MOVES), get(work, ROW_BYTES)
    guess_and_learn(work, contexts, count, targets, target_count)
    for row in range(count):
        move_row(load_64(contexts + 8 * row), moves + row * size, size)


@inlined
def bag_of_words_step(work, count, targets, target_count):
    contexts, moves, size, mean = get(work, CONTEXTS), get(work, MOVES), get(work, ROW_BYTES), get(work, MEAN)
    share = ONE / np.float32(count)
    for place in range(0, size, BYTES):
        lanes = zeros()
        for row in range(count):
            lanes = add_product(load_lanes(load_64(contexts + 8 * row) + place), spread(share), lanes)
        # Before the mean itself stands its address, as a list of one row.
        store_lanes(mean + BYTES + place, lanes)
    store_64(mean, mean + BYTES)
    guess_and_learn(work, mean, 1, targets, target_count)
    for place in range(0, size, BYTES):
        store_lanes(moves + place, add_product(load_lanes(moves + place), spread(share), zeros()))
    for row in range(count):
        move_row(load_64(contexts + 8 * row), moves, size)


def make_kernel(step):
    """The kernel of one method."""

    @called
    def learn_passage(work, start, end, state):
        ids, kept, reach = get(work, IDS), get(work, KEPT), get(work, REACH)
        targets, next_targets = get(work, TARGETS), get(work, NEXT_TARGETS)
        kept_count, state = keep_words(ids + 4 * start, ids + 4 * end, get(work, KEEP), kept, state)
        target_count = distance = 0
        # What is drawn for a window is fetched from memory while the one before it is learned.
        for place in range(kept_count + 1 if kept_count > 1 else 0):
            next_count = next_distance = 0
            if place < kept_count:
                state = next_state(state)
                next_distance = 1 + below(state, reach)
                next_count, state = draw_targets(work, next_targets, load_32(kept + 4 * place), state)
            if place > 0:
                count = find_contexts(work, place - 1, distance, kept_count)
                step(work, count, targets, target_count)
            targets, next_targets = next_targets, targets
            target_count, distance = next_count, next_distance
        return state

    def learn(work):
        ends, state = get(work, ENDS), get(work, STATE)
        for passage in range(get(work, FIRST), get(work, END)):
            start = load_64(ends + 8 * passage - 8) if passage > 0 else 0
            state = learn_passage(work, start, load_64(ends + 8 * passage), state)
        put(work, STATE, state)
        return 0

    return learn


learn_skip_gram = make_kernel(skip_gram_step)
learn_bag_of_words = make_kernel(bag_of_words_step)
