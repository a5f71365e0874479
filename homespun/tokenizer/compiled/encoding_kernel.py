"""The kernel of encoding: bytes of a text -> ids, at the speed of a few instructions per byte.

In: a workspace whose documents, BORDERS and OUT are set (OUT has room for one id per byte and eight more).
Out: DONE and OUT_COUNT ids; or NEEDS_ROOM, NEEDS_HEAP: give it that and call again, it goes on where it stopped.
"""

from typing import Any

from homespun.tokenizer.compiled.intrinsics import called, copy_16, inlined, load_32, load_64, prefetch, store_64
from homespun.tokenizer.compiled.merging import (
    COUNT_MASK,
    IN_ARENA,
    copy_words,
    encode_long,
    miss,
)
from homespun.tokenizer.compiled.piece_table import (
    LONG,
    LONGEST_INLINE,
    VALUE,
    find_long,
    find_short,
    hash_bytes,
    short_key,
    slot_of_key,
)
from homespun.tokenizer.compiled.walk import close_document, get, make_step, open_document, put
from homespun.tokenizer.compiled.workspace import (
    AHEAD,
    ARENA,
    BITS,
    BORDERS,
    COLLECTED,
    DOCUMENT,
    DONE,
    ITEM,
    LONGEST_WHOLE,
    NEEDS_HEAP,
    NEEDS_ROOM,
    OUT,
    OUT_COUNT,
    PLACE,
    RUN_END,
    SCRATCH,
    SIZE,
    SLOT,
    SLOTS,
    TEXT,
    UNICODE,
    WANTS_ROOM,
)


def make_encode(pattern: str) -> Any:
    """The kernel for one split pattern."""
    step = make_step(pattern)

    @inlined
    def copy_ids(out, source, count):
        """Copy ids four at a time; up to three more are written behind them and overwritten later."""
        copy_16(out, source)
        if count > 4:
            copy_words(out + 16, source + 16, count - 4)

    @inlined
    def collect(work, place, run_end, ahead):
        """Find the next pieces and their keys, and call their slots near; return how many, and where they end."""
        text, size, table = get(work, TEXT), get(work, SIZE), get(work, UNICODE)
        slots, bits = get(work, SLOTS), get(work, BITS)
        number, item, window, starts = 0, ahead, 0, 0
        while place < size and number < AHEAD:
            end, next_run_end, window, starts = step(text, place, size, table, run_end, window, starts)
            length = end - place
            if length <= LONGEST_INLINE:
                low, high = short_key(text, place, length, size)
            elif length <= LONGEST_WHOLE:
                low, high = hash_bytes(text, place, length), length | LONG
            else:
                break
            slot_number = slot_of_key(low, high, bits)
            prefetch(slots + slot_number * SLOT)
            store_64(item, low)
            store_64(item + 8, high)
            store_64(item + 16, slot_number)
            store_64(item + 24, place)
            store_64(item + 32, next_run_end)
            place, run_end = end, next_run_end
            number += 1
            item += ITEM
        return number, place, run_end

    @inlined
    def find(work, text, item):
        """The slot of a collected piece, or the free one where it belongs."""
        slots, bits, arena = get(work, SLOTS), get(work, BITS), get(work, ARENA)
        low, high = load_64(item), load_64(item + 8)
        slot = slots + load_64(item + 16) * SLOT
        if load_64(slot) == low and load_64(slot + 8) == high and high < LONG:
            return slot
        if high < LONG:
            return find_short(low, high, slots, bits)
        return find_long(text, load_64(item + 24), high & ~LONG, low, slots, bits, arena)

    @called
    def encode_document(work):
        text, size = get(work, TEXT), get(work, SIZE)
        out, count, arena = get(work, OUT), get(work, OUT_COUNT), get(work, ARENA)
        place, run_end, ahead = get(work, PLACE), get(work, RUN_END), get(work, COLLECTED)
        status = DONE
        while place < size and status == DONE:
            number, end, next_run_end = collect(work, place, run_end, ahead)
            item = ahead
            for _ in range(number):
                slot = find(work, text, item)
                if load_64(slot + 8) == 0:
                    high, start = load_64(item + 8), load_64(item + 24)
                    length = high & ~LONG if high >= LONG else high >> 56
                    number_of_ids = miss(work, slot, load_64(item), high, start, length)
                    copy_words(out + 4 * count, get(work, SCRATCH), number_of_ids)
                    count += number_of_ids
                    if get(work, WANTS_ROOM):
                        # The next pieces are collected again, with the larger table.
                        status = NEEDS_ROOM
                        end, next_run_end = start + length, load_64(item + 32)
                        break
                else:
                    number_of_ids = load_32(slot + VALUE + 12)
                    if number_of_ids < IN_ARENA:
                        copy_16(out + 4 * count, slot + VALUE)
                    else:
                        number_of_ids &= COUNT_MASK
                        copy_ids(out + 4 * count, arena + load_32(slot + VALUE + 4), number_of_ids)
                    count += number_of_ids
                item += ITEM
            if number == 0:
                # A piece too long to be encoded at once.
                end, next_run_end, _, _ = step(text, place, size, get(work, UNICODE), run_end, 0, 0)
                new_count = encode_long(work, place, end - place, out, count)
                if new_count < 0:
                    status = NEEDS_HEAP
                    break
                count = new_count
                if get(work, WANTS_ROOM):
                    status = NEEDS_ROOM
            place, run_end = end, next_run_end
        put(work, PLACE, place)
        put(work, RUN_END, run_end)
        put(work, OUT_COUNT, count)
        return status

    def encode(work):
        while open_document(work):
            status = encode_document(work)
            if status != DONE:
                return status
            store_64(get(work, BORDERS) + 8 * get(work, DOCUMENT), get(work, OUT_COUNT))
            close_document(work)
        return DONE

    return encode
