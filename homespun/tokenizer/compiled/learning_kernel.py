"""The kernel of learning: counted pieces -> merges, with exactly the merges of ``naive.py``.

In: a workspace of its own (learning_fields.py). Out: merges, BATCH of them per call; NEEDS_ROOM where a table is full;
DONE when there are enough, or when no pair is frequent enough any more.

All pieces lie behind each other in ``tokens`` (int32), one place per byte, NOTHING between them. A token stands at the
place of its first byte and of its last one; as its length is known, both neighbours are found without links. For each
pair the table of pairs has its count and a chain of the places where it was seen, in ascending order: all places of a
pair come to be in one pass from left to right, that of the merge which makes the younger of its two tokens. A place may
be out of date; then the tokens there are other ones. A merge touches the places of its pair and the pairs beside them,
and makes the text shorter by a token at each: all merges together take time linear in the bytes of the pieces.

A heap gives the most frequent pair, of equally frequent ones that with the smallest tokens. Counts in the heap may be
too high, never too low: counts only fall once the pass that made a pair is over.
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
    CHAIN,
    CHAIN_USED,
    COUNTED,
    COUNTS,
    CREATED,
    ENTRY,
    ENTRY_COUNT,
    ENTRY_FIRST,
    ENTRY_LAST,
    GIVEN,
    HEAP,
    HEAP_FILLED,
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
END = NOTHING


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
    """Lower the count of a pair that lost an occurrence."""
    entry = entry_of(key, pairs, bits)
    store_64(entry + ENTRY_COUNT, load_64(entry + ENTRY_COUNT) - weight)


@inlined
def see(work, key, weight, place, pairs, bits, chain, used):
    """Note that a pair stands at ``place``; returns whether it is a new pair."""
    entry = entry_of(key, pairs, bits)
    store_32(chain + 8 * used, place)
    store_32(chain + 8 * used + 4, END)
    if load_64(entry) == -1:
        store_64(entry, key)
        store_64(entry + ENTRY_COUNT, weight)
        store_32(entry + ENTRY_FIRST, used)
        store_32(entry + ENTRY_LAST, used)
        put(work, PAIRS_TAKEN, get(work, PAIRS_TAKEN) + 1)
        return True
    store_64(entry + ENTRY_COUNT, load_64(entry + ENTRY_COUNT) + weight)
    store_32(chain + 8 * load_32(entry + ENTRY_LAST) + 4, used)
    store_32(entry + ENTRY_LAST, used)
    return False


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
    """Count all pairs once, before the first merge; goes on where it stopped for room."""
    tokens, counts, piece_of = get(work, TOKENS), get(work, COUNTS), get(work, PIECE_OF)
    lengths, pairs, bits = get(work, LENGTHS), get(work, PAIRS), get(work, PAIR_BITS)
    chain, used = get(work, CHAIN), get(work, CHAIN_USED)
    most, places = 3 * (1 << (bits - 2)), get(work, PLACES)
    place = get(work, COUNTED)
    status = DONE
    while place < places:
        left = load_32(tokens + 4 * place)
        if left == NOTHING:
            place += 1
            continue
        following = place + load_32(lengths + 4 * left)
        right = load_32(tokens + 4 * following)
        if right != NOTHING:
            if get(work, PAIRS_TAKEN) >= most:
                status = NEEDS_ROOM
                break
            weight = load_64(counts + 8 * load_32(piece_of + 4 * place))
            see(work, left << PAIR_SHIFT | right, weight, place, pairs, bits, chain, used)
            used += 1
        place = following
    put(work, COUNTED, place)
    put(work, CHAIN_USED, used)
    return status


@called
def fill_heap(work):
    """Put every pair that is frequent enough into the heap."""
    pairs, heap, size, least = get(work, PAIRS), get(work, HEAP), 0, get(work, LEAST)
    for number in range(1 << get(work, PAIR_BITS)):
        entry = pairs + number * ENTRY
        key = load_64(entry)
        if key != -1 and load_64(entry + ENTRY_COUNT) >= least:
            push(heap, size, load_64(entry + ENTRY_COUNT), key)
            size += 1
    put(work, HEAP_USED, size)


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


@inlined
def next_link(chain, link):
    """The link behind a link; END stays END."""
    return END if link == END else load_32(chain + 8 * link + 4)


@called
def merge_everywhere(work, key, token, link):
    """Replace a pair by ``token`` along its chain; return how many new pairs are listed in CREATED.

    Memory is slow where places are far apart. So two more walks go along the chain, some links ahead: the first calls
    the places near, the second, when they have come, the entries of the pairs beside them.
    """
    tokens, counts, piece_of = get(work, TOKENS), get(work, COUNTS), get(work, PIECE_OF)
    lengths, pairs, bits = get(work, LENGTHS), get(work, PAIRS), get(work, PAIR_BITS)
    chain, used, created = get(work, CHAIN), get(work, CHAIN_USED), get(work, CREATED)
    left, right = key >> PAIR_SHIFT, key & NOTHING
    left_length, right_length = load_32(lengths + 4 * left), load_32(lengths + 4 * right)
    far, near, number = link, link, 0
    for step in range(2 * STEPS_AHEAD):
        if far != END:
            call_near(tokens, piece_of, load_32(chain + 8 * far), left_length)
            far = next_link(chain, far)
        if step >= STEPS_AHEAD:
            near = next_link(chain, near)
    while link != END:
        if far != END:
            call_near(tokens, piece_of, load_32(chain + 8 * far), left_length)
            far = next_link(chain, far)
        if near != END:
            ahead = load_32(chain + 8 * near)
            sizes = left_length + right_length
            call_pairs_near(tokens, counts, piece_of, ahead, left, right, token, sizes, pairs, bits)
            near = next_link(chain, near)
        place = load_32(chain + 8 * link)
        link = load_32(chain + 8 * link + 4)
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
            if see(work, made, weight, before, pairs, bits, chain, used):
                store_64(created + 8 * number, made)
                number += 1
            used += 1
        neighbour = load_32(tokens + 4 * after)
        if neighbour != NOTHING:
            lessen(right << PAIR_SHIFT | neighbour, weight, pairs, bits)
            made = token << PAIR_SHIFT | neighbour
            if see(work, made, weight, place, pairs, bits, chain, used):
                store_64(created + 8 * number, made)
                number += 1
            used += 1
        store_32(tokens + 4 * second, SWALLOWED)
        store_32(tokens + 4 * place, token)
        store_32(tokens + 4 * after - 4, token)
    put(work, CHAIN_USED, used)
    return number


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
    """Merge a pair, if it was ever seen, and enter the pairs that this makes into the heap."""
    pairs, bits, heap, lengths = get(work, PAIRS), get(work, PAIR_BITS), get(work, HEAP), get(work, LENGTHS)
    created, least, size = get(work, CREATED), get(work, LEAST), get(work, HEAP_USED)
    token = get(work, BASE) + get(work, LEARNED)
    left, right = key >> PAIR_SHIFT, key & NOTHING
    store_32(lengths + 4 * token, load_32(lengths + 4 * left) + load_32(lengths + 4 * right))
    merge = get(work, MERGES) + 8 * get(work, LEARNED)
    store_32(merge, left)
    store_32(merge + 4, right)
    put(work, LEARNED, get(work, LEARNED) + 1)
    entry = entry_of(key, pairs, bits)
    if load_64(entry) == -1:
        return
    number = merge_everywhere(work, key, token, load_32(entry + ENTRY_FIRST))
    store_64(entry + ENTRY_COUNT, 0)
    for index in range(number):
        made = load_64(created + 8 * index)
        total = load_64(entry_of(made, pairs, bits) + ENTRY_COUNT)
        if total >= least:
            push(heap, size, total, made)
            size += 1
    put(work, HEAP_USED, size)


def learn(work):
    """Learn up to BATCH more merges."""
    if get(work, COUNTED) < get(work, PLACES) and count_pairs(work) == NEEDS_ROOM:
        return NEEDS_ROOM
    if get(work, HEAP_FILLED) == 0:
        if get(work, PAIRS_TAKEN) > get(work, HEAP_SIZE):
            return NEEDS_ROOM
        fill_heap(work)
        put(work, HEAP_FILLED, 1)
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


def move_pairs(old_pairs, old_bits, pairs, bits):
    """Move the pairs that still occur into a larger, empty table; return how many they are."""
    moved = 0
    for number in range(1 << old_bits):
        old = old_pairs + number * ENTRY
        key = load_64(old)
        if key != -1 and load_64(old + ENTRY_COUNT) > 0:
            copy_bytes(entry_of(key, pairs, bits), old, ENTRY)
            moved += 1
    return moved
