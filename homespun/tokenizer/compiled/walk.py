"""From piece to piece through a text; the one loop step that counting and encoding share.

In: where a piece begins; ``run_end``, the end of the run of digits that it stands in, or anything before it; and the
beginnings of further pieces in the window of 64 bytes that was looked at last. Out: the place behind the piece, and
these again. Our own pattern cuts digits into groups of three from the
right, as people read them: 1234567 is 1 234 567. Where the first group ends depends on the length of the whole run,
which is therefore measured once, when it begins.
"""

from typing import Any

from homespun.tokenizer.compiled.characters import is_number, read
from homespun.tokenizer.compiled.intrinsics import (
    called,
    inlined,
    load_64,
    store_64,
    trailing_zeros,
    without_lowest_bit,
)
from homespun.tokenizer.compiled.splitting import make_split
from homespun.tokenizer.compiled.starts import WINDOW, make_starts
from homespun.tokenizer.compiled.workspace import BASE, DOCUMENT, DOCUMENTS, ENDS, PLACE, RUN_END, SIZE, TEXT

PER_GROUP = 3
# A byte whose two highest bits are set begins a character beyond ASCII. Where one of the first two bytes does, no
# window is worth looking at.
LEADS = 0x8080


@inlined
def get(work, field):
    return load_64(work + 8 * field)


@inlined
def put(work, field, value):
    store_64(work + 8 * field, value)


@called
def open_document(work):
    """Make TEXT and SIZE those of the current document; false behind the last one."""
    document, ends = get(work, DOCUMENT), get(work, ENDS)
    if document >= get(work, DOCUMENTS):
        return False
    start = load_64(ends + 8 * document - 8) if document > 0 else 0
    put(work, TEXT, get(work, BASE) + start)
    put(work, SIZE, load_64(ends + 8 * document) - start)
    return True


@called
def close_document(work):
    """Go on to the beginning of the next document."""
    put(work, DOCUMENT, get(work, DOCUMENT) + 1)
    put(work, PLACE, 0)
    put(work, RUN_END, 0)


@called
def skip_digits(text, place, end, table, number):
    """The place ``number`` characters further on."""
    while number > 0 and place < end:
        place += read(text, place, end, table) >> 8
        number -= 1
    return place


@called
def first_group_end(text, start, run_end, table):
    place, digits = start, 0
    while place < run_end:
        place += read(text, place, run_end, table) >> 8
        digits += 1
    return skip_digits(text, start, run_end, table, (digits - 1) % PER_GROUP + 1)


def make_step(pattern: str) -> Any:
    """The step of a pattern: ``(text, start, size, table, run_end, window, starts)``.

    Returns the end of the piece, and the last three anew: ``starts`` are the beginnings of further pieces that are
    known already, as places behind ``window``.
    """
    piece_end, starts_of, groups_digits = make_split(pattern), make_starts(pattern), pattern == "homespun"

    @called
    def grouped(text, start, size, table, run_end):
        if run_end > start:
            return skip_digits(text, start, run_end, table, PER_GROUP), run_end
        end = piece_end(text, start, size, table)
        if end - start > PER_GROUP and is_number(read(text, start, size, table) & 255):
            return first_group_end(text, start, end, table), end
        return end, run_end

    @inlined
    def step(text, start, size, table, run_end, window, starts):
        if starts == 0 and run_end <= start and start + WINDOW <= size:
            first_bytes = load_64(text + start)
            if first_bytes & (first_bytes << 1) & LEADS == 0:
                window = start
                starts = starts_of(text + start)
        if starts != 0:
            return window + trailing_zeros(starts), run_end, window, without_lowest_bit(starts)
        if groups_digits:
            end, run_end = grouped(text, start, size, table, run_end)
            return end, run_end, window, starts
        return piece_end(text, start, size, table), run_end, window, starts

    return step
