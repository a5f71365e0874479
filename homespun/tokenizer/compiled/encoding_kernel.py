"""The kernel of encoding: bytes of a text -> ids, at the speed of a few instructions per byte.

In: a workspace whose documents, BORDERS and OUT are set (OUT has room for one id per byte and eight more).
Out: DONE and OUT_COUNT ids; or NEEDS_ROOM, NEEDS_HEAP: give it that and call again, it goes on where it stopped.
"""

from typing import Any

from homespun.tokenizer.compiled.intrinsics import called, copy_16, inlined, load_32, load_64, store_64
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
)
from homespun.tokenizer.compiled.walk import close_document, get, make_step, open_document, put
from homespun.tokenizer.compiled.workspace import (
    ARENA,
    BITS,
    BORDERS,
    DOCUMENT,
    DONE,
    LONGEST_REMEMBERED,
    NEEDS_HEAP,
    NEEDS_ROOM,
    OUT,
    OUT_COUNT,
    PLACE,
    RUN_END,
    SCRATCH,
    SIZE,
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

    @called
    def encode_document(work):
        text, size, table = get(work, TEXT), get(work, SIZE), get(work, UNICODE)
        slots, bits, arena = get(work, SLOTS), get(work, BITS), get(work, ARENA)
        out, count = get(work, OUT), get(work, OUT_COUNT)
        place, run_end = get(work, PLACE), get(work, RUN_END)
        status = DONE
        while place < size:
            end, next_run_end = step(text, place, size, table, run_end)
            length = end - place
            if length <= LONGEST_INLINE:
                low, high = short_key(text, place, length, size)
                slot = find_short(low, high, slots, bits)
            elif length <= LONGEST_REMEMBERED:
                low, high = hash_bytes(text, place, length), length | LONG
                slot = find_long(text, place, length, low, slots, bits, arena)
            else:
                new_count = encode_long(work, place, length, out, count)
                if new_count < 0:
                    status = NEEDS_HEAP
                    break
                count, place, run_end = new_count, end, next_run_end
                if get(work, WANTS_ROOM):
                    status = NEEDS_ROOM
                    break
                continue
            if load_64(slot + 8) == 0:
                number = miss(work, slot, low, high, place, length)
                copy_words(out + 4 * count, get(work, SCRATCH), number)
                count, place, run_end = count + number, end, next_run_end
                if get(work, WANTS_ROOM):
                    status = NEEDS_ROOM
                    break
                continue
            number = load_32(slot + VALUE + 12)
            if number < IN_ARENA:
                copy_16(out + 4 * count, slot + VALUE)
            else:
                number &= COUNT_MASK
                copy_ids(out + 4 * count, arena + load_32(slot + VALUE + 4), number)
            count, place, run_end = count + number, end, next_run_end
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
