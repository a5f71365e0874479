"""Random numbers, the words of a passage that stay, and random words; the same as in ``randomness`` and ``sampling``.

The state goes in and comes back out. Plain ``*`` and ``+`` would promise LLVM that nothing runs over.
"""

from homespun.tokenizer.compiled.intrinsics import add, called, inlined, load_32, multiply, shift_right, store_32
from homespun.training.word_vectors.randomness import DRAW_BITS, INCREMENT, MULTIPLIER, WORD_BITS

UPPER_BITS = WORD_BITS - DRAW_BITS


@inlined
def next_state(state):
    return add(multiply(state, MULTIPLIER), INCREMENT)


@inlined
def number(state):
    """The random number of a state, 0 to 2^31 - 1."""
    return shift_right(state, UPPER_BITS)


@inlined
def below(state, bound):
    """The random number of a state, 0 to ``bound`` - 1."""
    return number(state) * bound >> DRAW_BITS


@called
def keep_words(ids, end, keep, kept, state):
    """Copy the ids (from one address to another) that stay; how many they are, and the state."""
    count = 0
    while ids < end:
        word = load_32(ids)
        state = next_state(state)
        # Written always, counted if it stays: a branch here could not be foretold.
        store_32(kept + 4 * count, word)
        count += number(state) < load_32(keep + 4 * word)
        ids += 4
    return count, state


@inlined
def draw_word(table, words, state):
    """A random word, and the state."""
    state = next_state(state)
    column = below(state, words)
    state = next_state(state)
    place = table + 8 * column
    other = load_32(place + 4)
    return (column if number(state) < load_32(place) else other), state
