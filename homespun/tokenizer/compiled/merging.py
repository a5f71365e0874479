"""One piece -> ids by the rank of its merges: three ways, one result, that of ``naive.py``.

In: the bytes of a piece, the table of merges. Out: tokens in the order of learning, or public ids.

``merge_short`` looks for the smallest rank again and again: quadratic, and the fastest up to some hundred bytes.
``merge_with_heap`` takes O(n log n) whatever the piece. ``encode_long`` cuts a long piece into chunks, so that a
megabyte of one letter is a few chunks seen again and again, and joins their ids where that is allowed: ids a1 … an and
b1 … bm, each list the encoding of its bytes, together encode the joined bytes if and only if [an, b1] encodes the bytes
of an and b1. (A merge across the border would have to be the first one across; before it both sides go as alone, and it
would show in an and b1 alone. Compare van Antwerpen and Neubeck 2024, *So many tokens, so little time*.) Where it
is not allowed, the tokens on both sides are encoded again together, more and more of them, until both new borders are.
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
    store_8,
    store_32,
    store_64,
)
from homespun.tokenizer.compiled.piece_table import LONGEST_INLINE, MULTIPLIER, VALUE, find_piece
from homespun.tokenizer.compiled.walk import get, put
from homespun.tokenizer.compiled.workspace import (
    ARENA,
    ARENA_SIZE,
    ARENA_USED,
    BITS,
    BUFFER_BYTES,
    BUFFERS,
    BYTE_PAIRS,
    CHUNK,
    FIRST_SAME,
    HEAP,
    HEAP_PER_BYTE,
    HEAP_SIZE,
    LENGTHS,
    LONGEST_REMEMBERED,
    LONGEST_REPAIR,
    MOST_TAKEN,
    PAIR_BITS,
    PAIRS,
    PUBLIC_IDS,
    SCRATCH,
    SCRATCH_BYTES,
    SIZE,
    SLOTS,
    TAKEN,
    TEXT,
    TOKEN_BITS,
    WANTS_ROOM,
)

NO_TOKEN = (1 << 31) - 1
TOKEN_MASK = (1 << TOKEN_BITS) - 1
# In the last word of a slot's value: the ids are in the arena.
IN_ARENA = 1 << 31
COUNT_MASK = IN_ARENA - 1


@inlined
def token_of_pair(left, right, pairs, bits):
    """The token that two tokens merge to, or NO_TOKEN.

    An entry of the table is left, right and token in one word; a free one is -1. Behind the table stand two bits for
    each of its entries, of which those are set that some pair hashes to: most pairs merge to nothing, and the bits,
    small enough for a near cache, say so before the table is asked (Bloom 1970, with one hash).
    """
    pair = left << TOKEN_BITS | right
    hashed = multiply(pair, MULTIPLIER)
    number = shift_right(hashed, 64 - bits)
    bit = shift_right(hashed, 63 - bits)
    if shift_right(load_8(pairs + (8 << bits) + (bit >> 3)), bit & 7) & 1 == 0:
        return NO_TOKEN
    mask = (1 << bits) - 1
    while True:
        entry = load_64(pairs + 8 * number)
        if entry == -1:
            return NO_TOKEN
        if entry >> TOKEN_BITS == pair:
            return entry & TOKEN_MASK
        number = (number + 1) & mask


@inlined
def call_pair_near(left, right, pairs, bits):
    """Begin to fetch what ``token_of_pair`` will look at."""
    hashed = multiply(left << TOKEN_BITS | right, MULTIPLIER)
    prefetch(pairs + (8 << bits) + shift_right(hashed, 66 - bits))
    prefetch(pairs + 8 * shift_right(hashed, 64 - bits))


@called
def fill_pairs(merges, number, first, pairs, bits):
    """Enter ``number`` merges, two int32 each, of which the i-th makes the token ``first + i``."""
    mask = (1 << bits) - 1
    for rank in range(number):
        pair = load_32(merges + 8 * rank) << TOKEN_BITS | load_32(merges + 8 * rank + 4)
        hashed = multiply(pair, MULTIPLIER)
        bit = shift_right(hashed, 63 - bits)
        byte = pairs + (8 << bits) + (bit >> 3)
        store_8(byte, load_8(byte) | 1 << (bit & 7))
        slot = shift_right(hashed, 64 - bits)
        while load_64(pairs + 8 * slot) != -1:
            slot = (slot + 1) & mask
        store_64(pairs + 8 * slot, pair << TOKEN_BITS | (first + rank))
    return 0


@called
def merge_short(text, length, tokens, ranks, pairs, bits, byte_pairs):
    """Merge ``length`` bytes at ``text`` in place of ``tokens`` (int32); return how many are left."""
    left = load_8(text)
    store_32(tokens, left)
    for place in range(1, length):
        right = load_8(text + place)
        store_32(tokens + 4 * place, right)
        store_32(ranks + 4 * place - 4, load_32(byte_pairs + 4 * (left << 8 | right)))
        left = right
    count = length
    while count > 1:
        best, at = NO_TOKEN, 0
        for place in range(count - 1):
            rank = load_32(ranks + 4 * place)
            if rank < best:
                best, at = rank, place
        if best == NO_TOKEN:
            break
        # The new neighbours are looked up after the rest has moved up; memory works meanwhile.
        if at > 0:
            call_pair_near(load_32(tokens + 4 * at - 4), best, pairs, bits)
        if at + 2 < count:
            call_pair_near(best, load_32(tokens + 4 * at + 8), pairs, bits)
        count -= 1
        store_32(tokens + 4 * at, best)
        for place in range(at + 1, count):
            store_32(tokens + 4 * place, load_32(tokens + 4 * place + 4))
            store_32(ranks + 4 * place - 4, load_32(ranks + 4 * place))
        if at + 1 < count:
            store_32(ranks + 4 * at, token_of_pair(best, load_32(tokens + 4 * at + 4), pairs, bits))
        if at > 0:
            store_32(ranks + 4 * at - 4, token_of_pair(load_32(tokens + 4 * at - 4), best, pairs, bits))
    return count


@inlined
def merge_to_public(work, text, length):
    """Encode up to LONGEST_REPAIR bytes into SCRATCH as public ids; return how many."""
    scratch = get(work, SCRATCH)
    ranks = scratch + SCRATCH_BYTES // 2
    count = merge_short(text, length, scratch, ranks, get(work, PAIRS), get(work, PAIR_BITS), get(work, BYTE_PAIRS))
    public, first_same = get(work, PUBLIC_IDS), get(work, FIRST_SAME)
    for place in range(count):
        token = load_32(scratch + 4 * place)
        if token < first_same:
            store_32(scratch + 4 * place, load_32(public + 4 * token))
    return count


@called
def copy_bytes(target, source, number):
    for place in range(number):
        store_8(target + place, load_8(source + place))


@called
def copy_words(target, source, number):
    for place in range(number):
        store_32(target + 4 * place, load_32(source + 4 * place))


@called
def remember(work, slot, low, high, start, length, count):
    """Enter a piece, whose ids are in SCRATCH, into the free ``slot``, if there is room."""
    used = get(work, ARENA_USED)
    needed = length + 4 * count + 24
    if get(work, TAKEN) >= get(work, MOST_TAKEN) or used + needed > get(work, ARENA_SIZE):
        put(work, WANTS_ROOM, 1)
        return
    scratch, arena = get(work, SCRATCH), get(work, ARENA)
    put(work, TAKEN, get(work, TAKEN) + 1)
    store_64(slot, low)
    store_64(slot + 8, high)
    if length <= LONGEST_INLINE and count <= 3:
        copy_words(slot + VALUE, scratch, count)
        store_32(slot + VALUE + 12, count)
        return
    if length > LONGEST_INLINE:
        store_32(slot + VALUE, used)
        copy_bytes(arena + used, get(work, TEXT) + start, length)
        used += (length + 3) & ~3
    store_32(slot + VALUE + 4, used)
    store_32(slot + VALUE + 12, count | IN_ARENA)
    copy_words(arena + used, scratch, count)
    # 16 bytes more than the ids, since they are copied four at a time.
    put(work, ARENA_USED, used + 4 * count + 16)


@called
def miss(work, slot, low, high, start, length):
    """Encode a piece that the table lacks, and remember it; return how many ids are in SCRATCH."""
    count = merge_to_public(work, get(work, TEXT) + start, length)
    remember(work, slot, low, high, start, length, count)
    return count


@called
def ids_of(work, start, length):
    """Where the ids of a piece of at most LONGEST_REMEMBERED bytes stand, and how many; good until the next call."""
    text, slots, bits, arena = get(work, TEXT), get(work, SLOTS), get(work, BITS), get(work, ARENA)
    low, high, slot = find_piece(text, start, length, get(work, SIZE), slots, bits, arena)
    if load_64(slot + 8) == 0:
        return get(work, SCRATCH), miss(work, slot, low, high, start, length)
    count = load_32(slot + VALUE + 12)
    if count < IN_ARENA:
        return slot + VALUE, count
    return arena + load_32(slot + VALUE + 4), count & COUNT_MASK


@called
def any_ids_of(work, start, length):
    """The same for up to LONGEST_REPAIR bytes."""
    if length <= LONGEST_REMEMBERED:
        return ids_of(work, start, length)
    return get(work, SCRATCH), merge_to_public(work, get(work, TEXT) + start, length)


@called
def may_stand_together(work, left, right, border):
    """Do two ids, the first of which ends at ``border``, encode their bytes together?"""
    lengths = get(work, LENGTHS)
    left_length, right_length = load_32(lengths + 4 * left), load_32(lengths + 4 * right)
    if left_length + right_length > LONGEST_REPAIR:
        return False
    ids, count = any_ids_of(work, border - left_length, left_length + right_length)
    return count == 2 and load_32(ids) == left and load_32(ids + 4) == right


@inlined
def bytes_of_ids(work, ids, count):
    """How many bytes of text some ids stand for."""
    lengths, total = get(work, LENGTHS), 0
    for place in range(count):
        total += load_32(lengths + 4 * load_32(ids + 4 * place))
    return total


@called
def join(work, out, first, count, border, ids, number):
    """Append ``number`` ids of the bytes from ``border`` on to ``out[first:count]``, the ids of those before it.

    Returns the new count, or -1 if the repair would be too long.
    """
    if may_stand_together(work, load_32(out + 4 * count - 4), load_32(ids), border):
        copy_words(out + 4 * count, ids, number)
        return count + number
    repaired = get(work, BUFFERS) + BUFFER_BYTES // 2
    reach = 1
    while True:
        kept = count - min(reach, count - first)
        consumed = min(reach, number)
        start = border - bytes_of_ids(work, out + 4 * kept, count - kept)
        end = border + bytes_of_ids(work, ids, consumed)
        if end - start > LONGEST_REPAIR:
            return -1
        found, found_count = any_ids_of(work, start, end - start)
        copy_words(repaired, found, found_count)
        fits_left = kept == first or may_stand_together(work, load_32(out + 4 * kept - 4), load_32(repaired), start)
        if fits_left and (
            consumed == number
            or may_stand_together(work, load_32(repaired + 4 * found_count - 4), load_32(ids + 4 * consumed), end)
        ):
            copy_words(out + 4 * kept, repaired, found_count)
            copy_words(out + 4 * (kept + found_count), ids + 4 * consumed, number - consumed)
            return kept + found_count + number - consumed
        reach *= 2


@called
def encode_long(work, start, length, out, count):
    """Append the ids of a piece of any length to ``out``; return the new count, or -1 if it needs a heap."""
    first, place, end = count, start, start + length
    buffer = get(work, BUFFERS)
    while place < end:
        size = min(CHUNK, end - place)
        ids, number = ids_of(work, place, size)
        if count == first:
            copy_words(out + 4 * count, ids, number)
            count += number
        else:
            copy_words(buffer, ids, number)
            count = join(work, out, first, count, place, buffer, number)
        if count < 0:
            break
        place += size
    if count >= 0:
        return count
    if get(work, HEAP_SIZE) < HEAP_PER_BYTE * (length + 1):
        put(work, HEAP_SIZE, -HEAP_PER_BYTE * (length + 1))
        return -1
    return merge_with_heap(work, get(work, TEXT) + start, length, out, first)


@inlined
def sift_up(heap, place):
    """Restore the heap after an entry was added at ``place``."""
    entry = load_64(heap + 8 * place)
    while place > 0:
        parent = (place - 1) >> 1
        above = load_64(heap + 8 * parent)
        if above <= entry:
            break
        store_64(heap + 8 * place, above)
        place = parent
    store_64(heap + 8 * place, entry)


@inlined
def sift_down(heap, size):
    """Restore the heap after its top was replaced."""
    entry, place = load_64(heap), 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and load_64(heap + 8 * child + 8) < load_64(heap + 8 * child):
            child += 1
        below = load_64(heap + 8 * child)
        if below >= entry:
            break
        store_64(heap + 8 * place, below)
        place = child
    store_64(heap + 8 * place, entry)


@called
def merge_with_heap(work, text, length, out, count):
    """Encode any piece with a linked list and a heap of (token to make, place); append its ids to ``out``.

    A place out of date is noticed when its turn comes, as its two neighbours no longer make that token. Each merge adds
    at most two entries, and the heap never holds more than one entry for a place whose pair is still good, plus old
    ones: at most 2n in all. Of equal tokens the leftmost comes first, as in ``naive.py``.
    """
    pairs, bits, public = get(work, PAIRS), get(work, PAIR_BITS), get(work, PUBLIC_IDS)
    tokens = get(work, HEAP)
    following = tokens + 4 * (length + 1)
    preceding = following + 4 * (length + 1)
    heap, heap_size = preceding + 4 * (length + 1), 0
    for place in range(length):
        store_32(tokens + 4 * place, load_8(text + place))
        store_32(following + 4 * place, place + 1)
        store_32(preceding + 4 * place, place - 1 if place > 0 else NO_TOKEN)
    for place in range(length - 1):
        token = token_of_pair(load_8(text + place), load_8(text + place + 1), pairs, bits)
        if token != NO_TOKEN:
            store_64(heap + 8 * heap_size, token << 40 | place)
            sift_up(heap, heap_size)
            heap_size += 1
    while heap_size > 0:
        entry = load_64(heap)
        heap_size -= 1
        store_64(heap, load_64(heap + 8 * heap_size))
        if heap_size > 0:
            sift_down(heap, heap_size)
        token, place = entry >> 40, entry & ((1 << 40) - 1)
        left = load_32(tokens + 4 * place)
        second = load_32(following + 4 * place)
        if left == NO_TOKEN or second >= length:
            continue
        if token_of_pair(left, load_32(tokens + 4 * second), pairs, bits) != token:
            continue
        after = load_32(following + 4 * second)
        store_32(tokens + 4 * place, token)
        store_32(tokens + 4 * second, NO_TOKEN)
        store_32(following + 4 * place, after)
        if after < length:
            store_32(preceding + 4 * after, place)
            made = token_of_pair(token, load_32(tokens + 4 * after), pairs, bits)
            if made != NO_TOKEN:
                store_64(heap + 8 * heap_size, made << 40 | place)
                sift_up(heap, heap_size)
                heap_size += 1
        before = load_32(preceding + 4 * place)
        if before != NO_TOKEN:
            made = token_of_pair(load_32(tokens + 4 * before), token, pairs, bits)
            if made != NO_TOKEN:
                store_64(heap + 8 * heap_size, made << 40 | before)
                sift_up(heap, heap_size)
                heap_size += 1
    place = 0
    while place < length:
        store_32(out + 4 * count, load_32(public + 4 * load_32(tokens + 4 * place)))
        count += 1
        place = load_32(following + 4 * place)
    return count
