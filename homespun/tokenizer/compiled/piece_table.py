"""A hash table from pieces to 16 bytes each, over plain memory, shared by counting and encoding.

In: a piece (address and length), the table (``slots``, ``bits``) and the ``arena`` that holds the bytes of long pieces.
Out: the address of the piece's slot, whose first two words the caller compares or fills.

A slot is 32 bytes that stand together, half a cache line: two words of key, two of value. A piece of at most 15
bytes is its own key: its bytes, zeros, and its length in the last byte. Of a longer one the key is a hash and the
length with ``LONG`` set; the first 4 bytes of the value say where in the arena its bytes are, to be compared.
The second word of a free slot is 0. Slots are found by linear probing; callers keep the table at most half full.
"""

from homespun.tokenizer.compiled.intrinsics import (
    called,
    inlined,
    load_8,
    load_32,
    load_64,
    multiply,
    shift_right,
    store_64,
)
from homespun.tokenizer.compiled.workspace import LONG, SLOT

VALUE = 16  # where in a slot the value stands
LONGEST_INLINE = 15
# Odd constants with their bits well mixed: the golden ratio, and one from the hash function splitmix64 (Steele 2014).
MULTIPLIER = -7046029254386353131
SECOND_MULTIPLIER = -4658895280553007687


@inlined
def short_key(text, start, length, size):
    """The two words of a piece of at most 15 bytes."""
    if start + 16 <= size:
        low_bytes = min(length, 8)
        low = load_64(text + start) & shift_right(-1, 64 - 8 * low_bytes)
        high = load_64(text + start + 8) & ((1 << 8 * (length - low_bytes)) - 1)
        return low, high | length << 56
    return short_key_at_the_end(text, start, length)


@called
def short_key_at_the_end(text, start, length):
    """The same where reading 16 bytes would leave the text."""
    low, high = 0, length << 56
    for place in range(length):
        byte = load_8(text + start + place)
        if place < 8:
            low |= byte << 8 * place
        else:
            high |= byte << 8 * (place - 8)
    return low, high


@inlined
def slot_of_key(low, high, bits):
    """The number of the slot where the search for a key begins."""
    return shift_right(multiply(low ^ multiply(high, SECOND_MULTIPLIER), MULTIPLIER), 64 - bits)


@inlined
def find_short(low, high, slots, bits):
    """The address of the slot that holds the key, or of the free one where it belongs."""
    number = slot_of_key(low, high, bits)
    mask = (1 << bits) - 1
    while True:
        slot = slots + number * SLOT
        found_high = load_64(slot + 8)
        if (load_64(slot) == low and found_high == high) or found_high == 0:
            return slot
        number = (number + 1) & mask


@inlined
def hash_bytes(text, start, length):
    """A hash of a piece of at least 8 bytes; the last 8 may overlap those before them."""
    mixed = multiply(length, SECOND_MULTIPLIER)
    place = start
    end = start + length
    while place + 8 <= end:
        mixed = multiply(mixed ^ load_64(text + place), MULTIPLIER)
        mixed ^= shift_right(mixed, 29)
        place += 8
    mixed = multiply(mixed ^ load_64(text + end - 8), MULTIPLIER)
    return mixed ^ shift_right(mixed, 32)


@inlined
def same_bytes(first, second, length):
    """Are ``length`` bytes, at least 8, the same at both addresses?"""
    place = 0
    while place + 8 <= length:
        if load_64(first + place) != load_64(second + place):
            return False
        place += 8
    return load_64(first + length - 8) == load_64(second + length - 8)


@inlined
def find_long(text, start, length, hashed, slots, bits, arena):
    """The same for a piece of 16 bytes or more, whose key is ``hashed`` and ``length | LONG``."""
    high = length | LONG
    number = slot_of_key(hashed, high, bits)
    mask = (1 << bits) - 1
    while True:
        slot = slots + number * SLOT
        found_high = load_64(slot + 8)
        if found_high == 0:
            return slot
        if (
            load_64(slot) == hashed
            and found_high == high
            and same_bytes(text + start, arena + load_32(slot + VALUE), length)
        ):
            return slot
        number = (number + 1) & mask


@inlined
def find_piece(text, start, length, size, slots, bits, arena):
    """The two words of a piece's key, and the address of its slot or of the free one where it belongs."""
    if length <= LONGEST_INLINE:
        low, high = short_key(text, start, length, size)
        return low, high, find_short(low, high, slots, bits)
    low, high = hash_bytes(text, start, length), length | LONG
    return low, high, find_long(text, start, length, low, slots, bits, arena)


@called
def rehash(old_slots, old_bits, slots, bits):
    """Move everything into a larger, empty table."""
    mask = (1 << bits) - 1
    for old_number in range(1 << old_bits):
        old = old_slots + old_number * SLOT
        high = load_64(old + 8)
        if high != 0:
            low = load_64(old)
            number = slot_of_key(low, high, bits)
            while load_64(slots + number * SLOT + 8) != 0:
                number = (number + 1) & mask
            slot = slots + number * SLOT
            for word in range(0, SLOT, 8):
                store_64(slot + word, load_64(old + word))
    return 0
