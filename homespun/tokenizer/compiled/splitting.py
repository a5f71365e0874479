"""The split as a state machine over UTF-8: where the piece that begins here ends.

In: ``text`` (address), a place in it where a piece begins, ``size``, and the Unicode ``table``.
Out: the place behind the piece; always further on. One function per family of patterns, made of the same parts.

The plain path (``split.py``) gives the same pieces by regular expressions; tests hold the two together, and both to
the module ``regex``. Here nothing is tried twice, so every text takes linear time. Most pieces of most texts are a
space and ASCII letters: 32 bytes at a time are compared, and the end of the word is a count of bits.
"""

from typing import Any

from homespun.tokenizer.compiled.characters import (
    is_letter,
    is_number,
    is_symbol,
    is_white,
    may_be_lower,
    may_be_upper,
    read,
    read_often,
)
from homespun.tokenizer.compiled.intrinsics import (
    LANES,
    called,
    capitals_32,
    inlined,
    letters_32,
    load_8,
    trailing_zeros,
)
from homespun.tokenizer.unicode_classes import JOINER, LETTER, LOWER, MARK, NEWLINE, NUMBER, SPACE

BLANK, APOSTROPHE, UNDERSCORE, SLASH = ord(" "), ord("'"), ord("_"), ord("/")
LF, CR = ord("\n"), ord("\r")
D, E, L, M, R, S, T, V = (ord(letter) for letter in "delmrstv")
# U+017F, the long s, which counts as an s where case does not count; and U+2019, the curly apostrophe.
LONG_S = (0xC5, 0xBF)
CURLY = (0xE2, 0x80, 0x99)
FULL = (1 << LANES) - 1


@called
def letters_end_slowly(text, place, size, table):
    while place < size:
        character = read_often(text, place, size, table)
        if not is_letter(character & 255):
            return place
        place += character >> 8
    return place


@inlined
def letters_end(text, place, size, table):
    """The end of a run of \\p{L}; perhaps ``place`` itself."""
    while place + LANES <= size:
        letters = letters_32(text + place)
        if letters != FULL:
            place += trailing_zeros(~letters)
            if load_8(text + place) < 0x80:
                return place
            break
        place += LANES
    return letters_end_slowly(text, place, size, table)


@inlined
def quick_word_end(text, place, size):
    """The end of a word of less than 32 ASCII letters, if what follows is ASCII too; ``place`` for all the rest."""
    if place + LANES <= size:
        count = trailing_zeros(~letters_32(text + place))
        if 0 < count < LANES and load_8(text + place + count) < 0x80:
            return place + count
    return place


def word_or(rarer: Any) -> Any:
    """The split that first looks for a word of ASCII letters, perhaps with a space before it, then asks ``rarer``."""

    @inlined
    def piece_end(text, start, size, table):
        place = start + 1 if load_8(text + start) == BLANK else start
        end = quick_word_end(text, place, size)
        return end if end > place else rarer(text, start, size, table)

    return piece_end


@inlined
def symbols_end(text, place, size, table):
    while place < size:
        character = read(text, place, size, table)
        if not is_symbol(character & 255):
            break
        place += character >> 8
    return place


@inlined
def numbers_end(text, place, size, table, most):
    """The end of a run of at most ``most`` of \\p{N}."""
    while place < size and most > 0:
        character = read(text, place, size, table)
        if not is_number(character & 255):
            break
        place += character >> 8
        most -= 1
    return place


@inlined
def kind_end(text, place, size, table, kind):
    """The end of a run of one class."""
    while place < size:
        character = read(text, place, size, table)
        if character & 255 != kind:
            break
        place += character >> 8
    return place


@inlined
def newlines_end(text, place, size, with_slash):
    while place < size:
        byte = load_8(text + place)
        if byte != LF and byte != CR and not (with_slash and byte == SLASH):
            break
        place += 1
    return place


@inlined
def white_end(text, start, size, table, newlines_bind, all_at_the_end):
    """The end of a piece of white space.

    A run leaves its last character to the piece behind it; at the end of the text there is none. Where
    ``newlines_bind`` it goes up to its last newline (\\s*[\\r\\n]+), unless it ends the text and ``all_at_the_end``.
    """
    place, last, behind_newline = start, start, start
    while place < size:
        character = read(text, place, size, table)
        if not is_white(character & 255):
            break
        last = place
        place += character >> 8
        if character & 255 == NEWLINE:
            behind_newline = place
    if place == size and all_at_the_end:
        return place
    if newlines_bind and behind_newline > start:
        return behind_newline
    if place == size or last == start:
        return place
    return last


@inlined
def ending_end(text, place, size, any_case):
    """The end of s, t, m, d, ll, ve or re at ``place``, behind an apostrophe; ``place`` if there is none."""
    if place >= size:
        return place
    first = load_8(text + place)
    second = load_8(text + place + 1) if place + 1 < size else 0
    if any_case:
        if first == LONG_S[0] and second == LONG_S[1]:
            return place + 2
        if first < 0x80:
            first |= 0x20
        if second < 0x80:
            second |= 0x20
    if first == S or first == T or first == M or first == D:
        return place + 1
    if (first == L and second == L) or (first == V and second == E) or (first == R and second == E):
        return place + 2
    return place


def make_gpt2_split() -> Any:
    """The split of GPT-2: an optional space before letters, numbers or symbols."""

    @called
    def rarer(text, start, size, table):
        first = load_8(text + start)
        if first == APOSTROPHE:
            end = ending_end(text, start + 1, size, False)
            if end > start + 1:
                return end
        place = start + 1 if first == BLANK else start
        kind = read(text, place, size, table) & 255 if place < size else SPACE
        if is_letter(kind):
            return letters_end(text, place, size, table)
        if is_number(kind):
            return numbers_end(text, place, size, table, size)
        if is_symbol(kind):
            return symbols_end(text, place, size, table)
        return white_end(text, start, size, table, False, True)

    return word_or(rarer)


def make_gpt4_split(most_digits: int, all_white_at_the_end: bool) -> Any:
    """The split of GPT-4, Llama 3 and Qwen 2: any one symbol or space before letters, few digits together."""

    @called
    def rarer(text, start, size, table):
        first = load_8(text + start)
        if first == APOSTROPHE:
            end = ending_end(text, start + 1, size, True)
            if end > start + 1:
                return end
        character = read(text, start, size, table)
        kind, place = character & 255, start + (character >> 8)
        if is_number(kind):
            return numbers_end(text, start, size, table, most_digits)
        if is_letter(kind):
            return letters_end(text, place, size, table)
        following = read(text, place, size, table) & 255 if place < size else SPACE
        if kind != NEWLINE and is_letter(following):
            return letters_end(text, place, size, table)
        if is_symbol(kind) or (first == BLANK and is_symbol(following)):
            return newlines_end(text, symbols_end(text, place, size, table), size, False)
        return white_end(text, start, size, table, True, all_white_at_the_end)

    return word_or(rarer)


@inlined
def cased_word_end(text, start, size, table):
    """The end of capitals and then small letters, where \\p{Lm}, \\p{Lo} and \\p{M} count as both; or ``start``.

    The expression is [capital]*[small]+ or else [capital]+[small]*. Of "ABc" it takes all, of "AB" too; but in "字AB"
    the first form finds its small letter in 字 and leaves AB to the next piece.
    """
    place, behind_caseless = start, start
    kind = SPACE
    while place < size:
        character = read_often(text, place, size, table)
        kind = character & 255
        if not may_be_upper(kind):
            break
        place += character >> 8
        if kind == LETTER or kind == MARK:
            behind_caseless = place
    if place < size and kind == LOWER:
        while place < size:
            character = read_often(text, place, size, table)
            if not may_be_lower(character & 255):
                break
            place += character >> 8
        return place
    return behind_caseless if behind_caseless > start else place


def make_o200k_split() -> Any:
    """The split of GPT-4o: as GPT-4's, but a word ends where small letters turn to capitals, and keeps its ending."""

    @inlined
    def with_ending(text, place, size):
        if place < size and load_8(text + place) == APOSTROPHE:
            end = ending_end(text, place + 1, size, True)
            if end > place + 1:
                return end
        return place

    @called
    def rarer(text, start, size, table):
        first = load_8(text + start)
        character = read(text, start, size, table)
        kind, place = character & 255, start + (character >> 8)
        if is_number(kind):
            return numbers_end(text, start, size, table, 3)
        if is_letter(kind) or kind == MARK:
            return with_ending(text, cased_word_end(text, start, size, table), size)
        if kind != NEWLINE:
            end = cased_word_end(text, place, size, table)
            if end > place:
                return with_ending(text, end, size)
        following = read(text, place, size, table) & 255 if place < size else SPACE
        if is_symbol(kind) or (first == BLANK and is_symbol(following)):
            return newlines_end(text, symbols_end(text, place, size, table), size, True)
        return white_end(text, start, size, table, True, False)

    @inlined
    def piece_end(text, start, size, table):
        place = start + 1 if load_8(text + start) == BLANK else start
        if place + LANES <= size:
            letters, capitals = letters_32(text + place), capitals_32(text + place)
            capital_count = trailing_zeros(~capitals)
            small_count = trailing_zeros(~((letters & ~capitals) >> capital_count))
            count = capital_count + small_count
            behind = load_8(text + place + count) if count < LANES else 0x80
            if count > 0 and behind < 0x80 and behind != APOSTROPHE:
                return place + count
        return rarer(text, start, size, table)

    return piece_end


@inlined
def letter_stands_before(text, place, table):
    """Is the character before ``place`` a letter?"""
    start = place - 1
    while start > 0 and place - start < 4 and load_8(text + start) & 0xC0 == 0x80:
        start -= 1
    if start < 0:
        return False
    character = read(text, start, place, table)
    return start + (character >> 8) == place and is_letter(character & 255)


@inlined
def word_end(text, place, size, table):
    """The end of a word of ours: letters with their marks and joiners."""
    while place < size:
        character = read_often(text, place, size, table)
        kind = character & 255
        if not (is_letter(kind) or kind == MARK or kind == JOINER):
            break
        place += character >> 8
    return place


def make_homespun_split() -> Any:
    """Our own split; runs of digits come whole, for ``walk.py`` groups them."""

    @inlined
    def apostrophe_end(text, place, size):
        if load_8(text + place) == APOSTROPHE:
            return place + 1
        if (
            place + 2 < size
            and load_8(text + place) == CURLY[0]
            and load_8(text + place + 1) == CURLY[1]
            and load_8(text + place + 2) == CURLY[2]
        ):
            return place + 3
        return place

    @called
    def rarer(text, start, size, table):
        first = load_8(text + start)
        character = read(text, start, size, table)
        kind, place = character & 255, start + (character >> 8)
        if is_letter(kind):
            return word_end(text, place, size, table)
        following = read(text, place, size, table) & 255 if place < size else SPACE
        if (first == BLANK or first == UNDERSCORE) and is_letter(following):
            return word_end(text, place, size, table)
        behind = apostrophe_end(text, start, size)
        if behind > start and letter_stands_before(text, start, table):
            end = ending_end(text, behind, size, True)
            after = read(text, end, size, table) & 255 if end < size else SPACE
            if end > behind and not (is_letter(after) or after == MARK):
                return end
        if is_symbol(kind) or (first == BLANK and is_symbol(following)):
            return symbols_end(text, place, size, table)
        if kind == NUMBER:
            return numbers_end(text, place, size, table, size)
        return kind_end(text, place, size, table, kind)

    @inlined
    def piece_end(text, start, size, table):
        first = load_8(text + start)
        place = start + 1 if first == BLANK or first == UNDERSCORE else start
        end = quick_word_end(text, place, size)
        return end if end > place else rarer(text, start, size, table)

    return piece_end


def make_split(pattern: str) -> Any:
    """The compiled split of a pattern by its name."""
    makers = {
        "gpt2": make_gpt2_split,
        "cl100k": lambda: make_gpt4_split(3, True),
        "llama3": lambda: make_gpt4_split(3, False),
        "qwen2": lambda: make_gpt4_split(1, False),
        "o200k": make_o200k_split,
        "homespun": make_homespun_split,
    }
    return makers[pattern]()
