"""The kernels of counting: the pieces of a text -> how often each occurs; the sum of two such tables; and clusters.

In: a workspace whose TEXT and SIZE are set, and a table of pieces. Out: DONE, and the counts in the table.
The value of a slot is the place of a long piece's bytes in the arena (4 bytes), and at COUNT its number (8 bytes).
"""

from typing import Any

from homespun.tokenizer.compiled.characters import is_letter, read
from homespun.tokenizer.compiled.intrinsics import called, load_32, load_64, store_32, store_64
from homespun.tokenizer.compiled.merging import copy_bytes
from homespun.tokenizer.compiled.piece_table import LONG, VALUE, find_long, find_piece, find_short
from homespun.tokenizer.compiled.walk import close_document, get, make_step, open_document, put
from homespun.tokenizer.compiled.workspace import (
    ARENA,
    ARENA_SIZE,
    ARENA_USED,
    BITS,
    COUNT,
    DONE,
    MOST_TAKEN,
    NEEDS_ROOM,
    PLACE,
    RUN_END,
    SIZE,
    SLOT,
    SLOTS,
    TAKEN,
    TEXT,
    UNICODE,
)
from homespun.tokenizer.unicode_classes import JOINER, MARK


@called
def enter(work, slot, low, high, piece, length, number):
    """Enter a new piece with its number; false if there is no room."""
    used = get(work, ARENA_USED)
    in_arena = length if high >= LONG else 0
    if get(work, TAKEN) >= get(work, MOST_TAKEN) or used + in_arena > get(work, ARENA_SIZE):
        return False
    put(work, TAKEN, get(work, TAKEN) + 1)
    store_64(slot, low)
    store_64(slot + 8, high)
    store_32(slot + VALUE, used)
    store_64(slot + COUNT, number)
    copy_bytes(get(work, ARENA) + used, piece, in_arena)
    put(work, ARENA_USED, used + in_arena)
    return True


def make_count(pattern: str) -> Any:
    """The kernel for one split pattern."""
    step = make_step(pattern)

    @called
    def count_document(work):
        text, size, table = get(work, TEXT), get(work, SIZE), get(work, UNICODE)
        slots, bits, arena = get(work, SLOTS), get(work, BITS), get(work, ARENA)
        place, run_end = get(work, PLACE), get(work, RUN_END)
        status, window, starts = DONE, 0, 0
        while place < size:
            end, next_run_end, window, starts = step(text, place, size, table, run_end, window, starts)
            length = end - place
            low, high, slot = find_piece(text, place, length, size, slots, bits, arena)
            if load_64(slot + 8) != 0:
                store_64(slot + COUNT, load_64(slot + COUNT) + 1)
            elif not enter(work, slot, low, high, text + place, length, 1):
                status = NEEDS_ROOM
                break
            place, run_end = end, next_run_end
        put(work, PLACE, place)
        put(work, RUN_END, run_end)
        return status

    def count(work):
        while open_document(work):
            if count_document(work) != DONE:
                return NEEDS_ROOM
            close_document(work)
        return DONE

    return count


def add_counts(work, from_slots, from_bits, from_arena, least):
    """Add another table's counts, from ``least`` on; PLACE is the number of the slot where it goes on."""
    slots, bits, arena = get(work, SLOTS), get(work, BITS), get(work, ARENA)
    number = get(work, PLACE)
    status = DONE
    while number < 1 << from_bits:
        source = from_slots + number * SLOT
        low, high, counted = load_64(source), load_64(source + 8), load_64(source + COUNT)
        if high != 0 and counted >= least:
            length = high & ~LONG
            piece = from_arena + load_32(source + VALUE)
            if high < LONG:
                slot = find_short(low, high, slots, bits)
            else:
                slot = find_long(piece, 0, length, low, slots, bits, arena)
            if load_64(slot + 8) != 0:
                store_64(slot + COUNT, load_64(slot + COUNT) + counted)
            elif not enter(work, slot, low, high, piece, length, counted):
                status = NEEDS_ROOM
                break
        number += 1
    put(work, PLACE, number)
    return status


def count_clusters(work, from_slots, from_bits, from_arena):
    """Count the letters with marks behind them in the pieces of another table; for more room it begins anew."""
    slots, bits, arena, table = get(work, SLOTS), get(work, BITS), get(work, ARENA), get(work, UNICODE)
    for number in range(1 << from_bits):
        source = from_slots + number * SLOT
        high, counted = load_64(source + 8), load_64(source + COUNT)
        if high == 0:
            continue
        size = high & ~LONG if high >= LONG else high >> 56
        # The bytes of a short piece are its key.
        piece = from_arena + load_32(source + VALUE) if high >= LONG else source
        place = 0
        while place < size:
            end = cluster_end(piece, place, size, table)
            if end > 0:
                length = end - place
                low, cluster_high, slot = find_piece(piece, place, length, size, slots, bits, arena)
                if load_64(slot + 8) != 0:
                    store_64(slot + COUNT, load_64(slot + COUNT) + counted)
                elif not enter(work, slot, low, cluster_high, piece + place, length, counted):
                    return NEEDS_ROOM
                place = end
            else:
                place -= end
    return DONE


@called
def cluster_end(piece, place, size, table):
    """The end of a letter with marks that begins here; or, negative, the place behind what is none."""
    character = read(piece, place, size, table)
    end = place + (character >> 8)
    if not is_letter(character & 255):
        return -end + place
    only_letter = end
    while end < size:
        character = read(piece, end, size, table)
        kind = character & 255
        if kind != MARK and kind != JOINER:
            break
        end += character >> 8
    return end if end > only_letter else -end + place
