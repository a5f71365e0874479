"""The kernel of learning: counted pieces -> merges, with exactly the merges of ``naive.py``.

In: a workspace of its own (learning_fields.py). Out: merges, BATCH of them per call; NEEDS_ROOM where a table is full;
DONE when there are enough, or when no pair is frequent enough any more.

All pieces lie behind each other in ``tokens`` (int32), one place per byte, NOTHING between them. A token stands at the
place of its first byte and of its last one; as its length is known, both neighbours are found without links. For each
pair the table of pairs has its count and a list of the places where it was seen, in ascending order: all places of a
pair come to be in one pass from left to right, that of the merge which makes the younger of its two tokens. After the
pass they are sorted by pair, so that a list is read straight on. A place may be out of date; then the tokens there are
other ones. A merge touches the places of its pair and the pairs beside them, and makes the text shorter by a token at
each: all merges together take time linear in the bytes of the pieces.

A heap gives the most frequent pair, of equally frequent ones that with the smallest tokens. Counts in the heap may be
too high, never too low: counts only fall once the pass that made a pair is over. For the same reason a pair that is too
rare after its pass is never merged: its places are not kept, and its entry goes when the table is next moved.
"""

from homespun.tokenizer.compiled.intrinsics import (
    called,
    inlined,
    load_8,
    load_32,
    load_64,
    multiply,
    prefetch,
    shift_right,
    store_32,
    store_64,
)
from homespun.tokenizer.compiled.learning_fields import (
    BASE,
    COUNTS,
    CREATED,
    ENTRY,
    ENTRY_COUNT,
    ENTRY_FIRST,
    ENTRY_LINKS,
    FRESH,
    GIVEN,
    HEAP,
    HEAP_SIZE,
    HEAP_USED,
    LEARNED,
    LEAST,
    LENGTHS,
    MERGES,
    PAIR_BITS,
    PAIRS,
    PAIRS_TAKEN,
    PIECE_OF,
    PLACES,
    PREPARED,
    SEEN,
    SEEN_USED,
    TOKENS,
    WANTED,
)
from homespun.tokenizer.compiled.merging import copy_bytes
from homespun.tokenizer.compiled.piece_table import LONG, MULTIPLIER, VALUE
from homespun.tokenizer.compiled.walk import get, put
from homespun.tokenizer.compiled.workspace import COUNT, DONE, NEEDS_ROOM, SLOT

BATCH = 256
# How many links the walk that fetches pairs is ahead of the merges; the one that fetches places is twice as far.
STEPS_AHEAD = 6
NOTHING = (1 << 32) - 1  # -1 as the 32 bits that load_32 gives
SWALLOWED = NOTHING - 1
PAIR_SHIFT = 32


def lay_out(tokens, piece_of, counts, slots, bits, arena):
    """Lay the pieces of a table of counts (of two bytes and more) into ``tokens``; return how many places that took."""
    place, piece = 1, 0
    store_32(tokens, NOTHING)
    for number in range(1 << bits):
        slot = slots + number * SLOT
        high = load_64(slot + 8)
        length = high & ~LONG if high >= LONG else high >> 56
        if length >= 2:
            source = arena + load_32(slot + VALUE) if high >= LONG else slot
            for offset in range(length):
                # The last byte of a short key's second word is the length; it holds at most 15 bytes before that.
                store_32(tokens + 4 * place, load_8(source + offset))
                store_32(piece_of + 4 * place, piece)
                place += 1
            store_32(tokens + 4 * place, NOTHING)
            place += 1
            store_64(counts + 8 * piece, load_64(slot + COUNT))
            piece += 1
    return place


@inlined
def first_number(key, bits):
    """Where in the table of pairs the search for a key begins."""
    return shift_right(multiply(key, MULTIPLIER), 64 - bits)


@inlined
def entry_of(key, pairs, bits):
    """The address of a pair's entry, or of the free one where it belongs; the key of a free one is -1."""
    mask = (1 << bits) - 1
    number = first_number(key, bits)
    while True:
        entry = pairs + number * ENTRY
        found = load_64(entry)
        if found == key or found == -1:
            return entry
        number = (number + 1) & mask


@inlined
def lessen(key, weight, pairs, bits):
    """Lower the count of a pair that lost an occurrence; one too rare to matter may have no entry any more."""
    entry = entry_of(key, pairs, bits)
    if load_64(entry) != -1:
        store_64(entry + ENTRY_COUNT, load_64(entry + ENTRY_COUNT) - weight)


@inlined
def see(key, weight, place, pairs, bits, fresh, created, number):
    """Note that a pair stands at ``place``; return how many pairs the pass has made now."""
    entry = entry_of(key, pairs, bits)
    if load_64(entry) == -1:
        store_64(entry, key)
        store_64(entry + ENTRY_COUNT, 0)
        store_32(entry + ENTRY_FIRST, number)
        store_32(entry + ENTRY_LINKS, 0)
        store_64(created + 8 * number, entry)
        number += 1
    store_64(entry + ENTRY_COUNT, load_64(entry + ENTRY_COUNT) + weight)
    store_32(entry + ENTRY_LINKS, load_32(entry + ENTRY_LINKS) + 1)
    store_32(fresh, place)
    store_32(fresh + 4, load_32(entry + ENTRY_FIRST))
    return number


@called
def keep_places(work, number, seen_now):
    """Sort what a pass has seen by pair; only pairs that are frequent enough go into SEEN, and into the heap."""
    created, fresh, seen, used = get(work, CREATED), get(work, FRESH), get(work, SEEN), get(work, SEEN_USED)
    heap, size, least = get(work, HEAP), get(work, HEAP_USED), get(work, LEAST)
    # Given merges are made however rare their pairs are.
    least_kept = 1 if get(work, LEARNED) < get(work, GIVEN) else least
    for index in range(number):
        entry = load_64(created + 8 * index)
        count = load_64(entry + ENTRY_COUNT)
        if count >= least:
            push(heap, size, count, load_64(entry))
            size += 1
        if count >= least_kept:
            links = load_32(entry + ENTRY_LINKS)
            store_32(entry + ENTRY_FIRST, used)
            # From here on the word says where the next place goes.
            store_64(created + 8 * index, seen + 4 * used)
            used += links
        else:
            store_64(created + 8 * index, 0)
    for index in range(seen_now):
        cursor = created + 8 * load_32(fresh + 8 * index + 4)
        target = load_64(cursor)
        if target != 0:
            store_32(target, load_32(fresh + 8 * index))
            store_64(cursor, target + 4)
    put(work, SEEN_USED, used)
    put(work, HEAP_USED, size)


@inlined
def comes_first(count, key, other_count, other_key):
    return count > other_count or (count == other_count and key < other_key)


@called
def push(heap, size, count, key):
    """Add a pair to the heap of ``size`` entries, two words each."""
    place = size
    while place > 0:
        parent = (place - 1) >> 1
        above = heap + 16 * parent
        if not comes_first(count, key, load_64(above), load_64(above + 8)):
            break
        store_64(heap + 16 * place, load_64(above))
        store_64(heap + 16 * place + 8, load_64(above + 8))
        place = parent
    store_64(heap + 16 * place, count)
    store_64(heap + 16 * place + 8, key)


@called
def replace_top(heap, size, count, key):
    """Put another entry in the place of the top of a heap of ``size`` entries."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        below = heap + 16 * child
        if child + 1 < size and comes_first(
            load_64(below + 16), load_64(below + 24), load_64(below), load_64(below + 8)
        ):
            child += 1
            below += 16
        if not comes_first(load_64(below), load_64(below + 8), count, key):
            break
        store_64(heap + 16 * place, load_64(below))
        store_64(heap + 16 * place + 8, load_64(below + 8))
        place = child
    store_64(heap + 16 * place, count)
    store_64(heap + 16 * place + 8, key)


@called
def pop(heap, size):
    """Remove the top of a heap of ``size`` entries."""
    if size > 1:
        replace_top(heap, size - 1, load_64(heap + 16 * size - 16), load_64(heap + 16 * size - 8))


@called
def count_pairs(work):
    """Count all pairs once, before the first merge."""
    tokens, counts, piece_of = get(work, TOKENS), get(work, COUNTS), get(work, PIECE_OF)
    pairs, bits, fresh, created = get(work, PAIRS), get(work, PAIR_BITS), get(work, FRESH), get(work, CREATED)
    number, seen_now = 0, 0
    for place in range(get(work, PLACES) - 1):
        left, right = load_32(tokens + 4 * place), load_32(tokens + 4 * place + 4)
        if left != NOTHING and right != NOTHING:
            weight = load_64(counts + 8 * load_32(piece_of + 4 * place))
            key = left << PAIR_SHIFT | right
            number = see(key, weight, place, pairs, bits, fresh + 8 * seen_now, created, number)
            seen_now += 1
    put(work, PAIRS_TAKEN, number)
    keep_places(work, number, seen_now)


@inlined
def call_near(tokens, piece_of, place, left_length):
    """Begin to fetch what a merge at ``place`` will read first."""
    prefetch(tokens + 4 * place - 4)
    prefetch(tokens + 4 * (place + left_length))
    prefetch(piece_of + 4 * place)


@inlined
def call_pairs_near(tokens, counts, piece_of, place, left, right, token, sizes, pairs, bits):
    """Begin to fetch the entries of the pairs that a merge at ``place`` will change; a wrong one costs only time."""
    if load_32(tokens + 4 * place) == left:
        prefetch(counts + 8 * load_32(piece_of + 4 * place))
        neighbour = load_32(tokens + 4 * place - 4)
        if neighbour != NOTHING:
            prefetch(pairs + ENTRY * first_number(neighbour << PAIR_SHIFT | left, bits))
            prefetch(pairs + ENTRY * first_number(neighbour << PAIR_SHIFT | token, bits))
        neighbour = load_32(tokens + 4 * (place + sizes))
        if neighbour != NOTHING:
            prefetch(pairs + ENTRY * first_number(right << PAIR_SHIFT | neighbour, bits))
            prefetch(pairs + ENTRY * first_number(token << PAIR_SHIFT | neighbour, bits))


@called
def merge_everywhere(work, key, token, first, links):
    """Replace a pair by ``token`` at its places.

    Memory is slow where places are far apart. So two more walks go along the list, some places ahead: the first calls
    the tokens near, the second, when they have come, the entries of the pairs beside them.
    """
    tokens, counts, piece_of = get(work, TOKENS), get(work, COUNTS), get(work, PIECE_OF)
    lengths, pairs, bits = get(work, LENGTHS), get(work, PAIRS), get(work, PAIR_BITS)
    fresh, created, places = get(work, FRESH), get(work, CREATED), get(work, SEEN) + 4 * first
    left, right = key >> PAIR_SHIFT, key & NOTHING
    left_length, right_length = load_32(lengths + 4 * left), load_32(lengths + 4 * right)
    number, seen_now = 0, 0
    for index in range(-2 * STEPS_AHEAD, links):
        if index + 2 * STEPS_AHEAD < links:
            call_near(tokens, piece_of, load_32(places + 4 * (index + 2 * STEPS_AHEAD)), left_length)
        if 0 <= index + STEPS_AHEAD < links:
            ahead = load_32(places + 4 * (index + STEPS_AHEAD))
            sizes = left_length + right_length
            call_pairs_near(tokens, counts, piece_of, ahead, left, right, token, sizes, pairs, bits)
        if index < 0:
            continue
        place = load_32(places + 4 * index)
        second = place + left_length
        if load_32(tokens + 4 * place) != left or load_32(tokens + 4 * second) != right:
            continue
        after = second + right_length
        weight = load_64(counts + 8 * load_32(piece_of + 4 * place))
        neighbour = load_32(tokens + 4 * place - 4)
        if neighbour != NOTHING:
            lessen(neighbour << PAIR_SHIFT | left, weight, pairs, bits)
            made = neighbour << PAIR_SHIFT | token
            before = place - load_32(lengths + 4 * neighbour)
            number = see(made, weight, before, pairs, bits, fresh + 8 * seen_now, created, number)
            seen_now += 1
        neighbour = load_32(tokens + 4 * after)
        if neighbour != NOTHING:
            lessen(right << PAIR_SHIFT | neighbour, weight, pairs, bits)
            made = token << PAIR_SHIFT | neighbour
            number = see(made, weight, place, pairs, bits, fresh + 8 * seen_now, created, number)
            seen_now += 1
        store_32(tokens + 4 * second, SWALLOWED)
        store_32(tokens + 4 * place, token)
        store_32(tokens + 4 * after - 4, token)
    put(work, PAIRS_TAKEN, get(work, PAIRS_TAKEN) + number)
    keep_places(work, number, seen_now)


@called
def has_room(work):
    """Can a pair be merged without a table running full? It makes at most two pairs with each token."""
    most_created = 2 * (get(work, BASE) + get(work, LEARNED)) + 2
    return get(work, PAIRS_TAKEN) + most_created <= 3 * (1 << (get(work, PAIR_BITS) - 2)) and get(
        work, HEAP_USED
    ) + most_created <= get(work, HEAP_SIZE)


@called
def next_given(work):
    """The next of the given merges, as a key."""
    merge = get(work, MERGES) + 8 * get(work, LEARNED)
    return load_32(merge) << PAIR_SHIFT | load_32(merge + 4)


@called
def most_frequent(work):
    """The pair to merge next, or -1 if none is frequent enough; it stays in the heap, and its count is up to date."""
    pairs, bits, heap, least = get(work, PAIRS), get(work, PAIR_BITS), get(work, HEAP), get(work, LEAST)
    size = get(work, HEAP_USED)
    key = -1
    while size > 0 and key == -1:
        count, candidate = load_64(heap), load_64(heap + 8)
        now = load_64(entry_of(candidate, pairs, bits) + ENTRY_COUNT)
        if now < least:
            pop(heap, size)
            size -= 1
        elif now != count:
            replace_top(heap, size, now, candidate)
        else:
            key = candidate
    put(work, HEAP_USED, size)
    return key


@called
def apply(work, key):
    """Merge a pair, if it occurs; only then its places were kept."""
    pairs, bits, lengths = get(work, PAIRS), get(work, PAIR_BITS), get(work, LENGTHS)
    token = get(work, BASE) + get(work, LEARNED)
    left, right = key >> PAIR_SHIFT, key & NOTHING
    store_32(lengths + 4 * token, load_32(lengths + 4 * left) + load_32(lengths + 4 * right))
    merge = get(work, MERGES) + 8 * get(work, LEARNED)
    store_32(merge, left)
    store_32(merge + 4, right)
    put(work, LEARNED, get(work, LEARNED) + 1)
    entry = entry_of(key, pairs, bits)
    if load_64(entry) != -1 and load_64(entry + ENTRY_COUNT) > 0:
        first, links = load_32(entry + ENTRY_FIRST), load_32(entry + ENTRY_LINKS)
        merge_everywhere(work, key, token, first, links)
        store_64(entry + ENTRY_COUNT, 0)


def learn(work):
    """Learn up to BATCH more merges."""
    if get(work, PREPARED) == 0:
        count_pairs(work)
        put(work, PREPARED, 1)
    stop = min(get(work, LEARNED) + BATCH, get(work, WANTED))
    while get(work, LEARNED) < stop:
        key = next_given(work) if get(work, LEARNED) < get(work, GIVEN) else most_frequent(work)
        if key == -1:
            put(work, WANTED, get(work, LEARNED))
            break
        if not has_room(work):
            return NEEDS_ROOM
        apply(work, key)
    return DONE


def move_pairs(old_pairs, old_bits, pairs, bits, least):
    """Move the pairs that are still frequent enough into an empty table; return how many they are."""
    moved = 0
    for number in range(1 << old_bits):
        old = old_pairs + number * ENTRY
        key = load_64(old)
        if key != -1 and load_64(old + ENTRY_COUNT) >= least:
            copy_bytes(entry_of(key, pairs, bits), old, ENTRY)
            moved += 1
    return moved
