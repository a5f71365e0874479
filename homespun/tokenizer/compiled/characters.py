"""UTF-8 -> characters and their classes, byte by byte and checked.

In: the address of a text, a place in it, its size, and the Unicode table of ``merge_tables.py``.
Out: ``class | length << 8``. A byte that begins no valid character is OTHER and has length 1, which is how the
plain path sees it too (PEP 383 escapes). Which byte sequences are valid: Unicode 16, table 3-7.

Layout of the table: 128 classes of ASCII, then for each 128 code points the number of their block, then the blocks.
"""

from homespun.tokenizer.compiled.intrinsics import called, inlined, load_8
from homespun.tokenizer.unicode_classes import JOINER, LETTER, LOWER, MARK, NEWLINE, NUMBER, OTHER, SPACE, UPPER

BLOCKS_AT = 128 + (0x110000 >> 7)
INVALID = OTHER | 1 << 8


@inlined
def class_of_code_point(table, code_point):
    block = load_8(table + 128 + (code_point >> 7))
    return load_8(table + BLOCKS_AT + (block << 7) + (code_point & 127))


@called
def read_wide(text, place, size, table):
    """Read a character whose first byte is not ASCII."""
    first = load_8(text + place)
    left = size - place
    if first < 0xC2 or left < 2:
        return INVALID
    second = load_8(text + place + 1)
    if second & 0xC0 != 0x80:
        return INVALID
    if first < 0xE0:
        return class_of_code_point(table, (first & 31) << 6 | second & 63) | 2 << 8
    if left < 3:
        return INVALID
    third = load_8(text + place + 2)
    if third & 0xC0 != 0x80:
        return INVALID
    if first < 0xF0:
        code_point = (first & 15) << 12 | (second & 63) << 6 | third & 63
        if code_point < 0x800 or 0xD800 <= code_point < 0xE000:
            return INVALID
        return class_of_code_point(table, code_point) | 3 << 8
    if left < 4:
        return INVALID
    fourth = load_8(text + place + 3)
    code_point = (first & 7) << 18 | (second & 63) << 12 | (third & 63) << 6 | fourth & 63
    if first > 0xF4 or fourth & 0xC0 != 0x80 or code_point < 0x10000 or code_point > 0x10FFFF:
        return INVALID
    return class_of_code_point(table, code_point) | 4 << 8


@inlined
def read_often(text, place, size, table):
    """The same as ``read`` for places where most characters have two or three bytes."""
    if place + 3 <= size:
        first, second = load_8(text + place), load_8(text + place + 1)
        if 0xC2 <= first < 0xE0 and second & 0xC0 == 0x80:
            return class_of_code_point(table, (first & 31) << 6 | second & 63) | 2 << 8
        third = load_8(text + place + 2)
        # Between the surrogates, which are invalid, and the last characters of three bytes there is little text.
        if 0xE0 < first < 0xED and second & 0xC0 == 0x80 and third & 0xC0 == 0x80:
            return class_of_code_point(table, (first & 15) << 12 | (second & 63) << 6 | third & 63) | 3 << 8
    return read(text, place, size, table)


@inlined
def read(text, place, size, table):
    """Read the character at ``place``, which is before ``size``."""
    first = load_8(text + place)
    if first < 0x80:
        return load_8(table + first) | 1 << 8
    if first < 0xC2:
        return INVALID
    return read_wide(text, place, size, table)


@inlined
def is_letter(kind):
    return UPPER <= kind <= LETTER


@inlined
def is_symbol(kind):
    """Neither white space, nor a letter, nor a number: what the published patterns write as [^\\s\\p{L}\\p{N}]."""
    return kind == OTHER or kind == MARK or kind == JOINER


@inlined
def is_white(kind):
    return kind == SPACE or kind == NEWLINE


@inlined
def is_number(kind):
    return kind == NUMBER


@inlined
def may_be_lower(kind):
    return kind == LOWER or kind == LETTER or kind == MARK


@inlined
def may_be_upper(kind):
    return kind == UPPER or kind == LETTER or kind == MARK
