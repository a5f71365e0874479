"""Character -> class, by Unicode 16.0 whatever runs us: letters, marks, numbers and white space of every script.

In: one character. Out: one of nine classes; or all of them at once, as a table that is looked up in two steps.

Why not ``str.isalpha`` or ``unicodedata``? They follow the Unicode version of the running Python, so one tokenizer
would split new characters in one way here and in another there. 16.0 is also the version in tiktoken.

The data is ``unicode_16.txt`` beside this file, one line per run of characters of one class. It was made with
unicodedata2 16.0.0 from PyPI, which only the maker of the file needs::

    pip install unicodedata2==16.0.0 && python -m homespun.tokenizer.unicode_classes
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from homespun.common.errors import UsageError

UNICODE_VERSION = "16.0.0"
DATA = Path(__file__).with_name("unicode_16.txt")
CODE_POINTS = 0x110000
# 128 characters per block: 230 of the 8704 blocks differ, so one byte says which one it is.
BLOCK_BITS = 7
BLOCK = 1 << BLOCK_BITS
PLANE = 1 << 16

# What a character is, as far as any split pattern asks. Plain numbers, as the compiled code reads them too.
OTHER = 0  # punctuation, symbols, controls, surrogates, and what is not assigned
UPPER = 1  # Lu and Lt
LOWER = 2  # Ll
LETTER = 3  # Lm and Lo: letters of the scripts that have no case
MARK = 4  # Mn, Mc, Me
NUMBER = 5  # Nd, Nl, No
SPACE = 6  # White_Space without the two of the next line
NEWLINE = 7  # carriage return and line feed
JOINER = 8  # U+200C and U+200D; only our own pattern tells them from OTHER

# What a line of the file says at its end: one class, or two that take turns.
CLASSES_OF_DIGITS = {
    **{f"{one}": bytes([one]) for one in range(9)},
    **{f"{one}{two}": bytes([one, two]) for one in range(9) for two in range(9)},
}


def class_of(character: str) -> int:
    """Return the class of one character, OTHER to JOINER."""
    block_of, blocks = class_tables()
    code_point = ord(character)
    return blocks[block_of[code_point >> BLOCK_BITS] * BLOCK + (code_point & BLOCK - 1)]


@cache
def class_tables() -> tuple[bytes, bytes]:
    """Return ``block_of`` and ``blocks``: a class is ``blocks[block_of[code >> 7] * 128 + (code & 127)]``.

    Most blocks of Unicode are alike (all letters, or nothing assigned), so 38 kB hold what would take 1.1 MB.
    """
    classes = read_classes()
    numbers = {bytes(BLOCK): 0}
    block_of = bytearray(CODE_POINTS // BLOCK)
    for plane in range(0, CODE_POINTS, PLANE):
        if classes[plane : plane + PLANE] == bytes(PLANE):
            continue  # 12 of the 17 planes are empty, and comparing is faster than cutting
        for start in range(plane, plane + PLANE, BLOCK):
            block_of[start >> BLOCK_BITS] = numbers.setdefault(classes[start : start + BLOCK], len(numbers))
    return bytes(block_of), b"".join(numbers)


def read_classes() -> bytes:
    """Read the file: the class of every code point; those that no line names are OTHER."""
    parts = []
    reached = 0
    for line in DATA.read_text("ascii").splitlines():
        if line[0] == "#":
            continue
        run, _, digits = line.partition(" ")
        first, _, last = run.partition("-")
        start = int(first, 16)
        end = int(last, 16) + 1 if last else start + 1
        parts.append(bytes(start - reached))
        parts.append(CLASSES_OF_DIGITS[digits] * ((end - start) // len(digits)))
        reached = end
    return b"".join([*parts, bytes(CODE_POINTS - reached)])


CLASS_OF_CATEGORY = {
    **dict.fromkeys(("Lu", "Lt"), UPPER),
    **dict.fromkeys(("Ll",), LOWER),
    **dict.fromkeys(("Lm", "Lo"), LETTER),
    **dict.fromkeys(("Mn", "Mc", "Me"), MARK),
    **dict.fromkeys(("Nd", "Nl", "No"), NUMBER),
}

# White_Space is a property, not a category: PropList.txt of Unicode, unchanged since version 6.3.
CLASS_OF_CHARACTER = {
    **dict.fromkeys("\t\x0b\x0c \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", SPACE),
    **dict.fromkeys(map(chr, range(0x2000, 0x200B)), SPACE),
    **dict.fromkeys("\r\n", NEWLINE),
    **dict.fromkeys("\u200c\u200d", JOINER),
}


def make() -> str:
    """Return what belongs into the file, by unicodedata2; with another version of it, raise a ``UsageError``."""
    unicodedata2 = import_module("unicodedata2")
    if unicodedata2.unidata_version != UNICODE_VERSION:
        raise UsageError(f"unicodedata2 is {unicodedata2.unidata_version}; install unicodedata2=={UNICODE_VERSION}")

    def find_class(code_point: int) -> int:
        by_category = CLASS_OF_CATEGORY.get(unicodedata2.category(chr(code_point)), OTHER)
        return CLASS_OF_CHARACTER.get(chr(code_point), by_category)

    head = [
        f"# Unicode {UNICODE_VERSION}: runs of code points (hexadecimal) and their class; what is in no run is OTHER.",
        "# 0 OTHER, 1 UPPER, 2 LOWER, 3 LETTER, 4 MARK, 5 NUMBER, 6 SPACE, 7 NEWLINE, 8 JOINER",
        "# Two digits are two classes by turns, as where each capital stands before its small letter.",
        "# Written by homespun/tokenizer/unicode_classes.py; derived from the Unicode Character Database,",
        "# Copyright (c) 1991-2024 Unicode, Inc., licence: https://www.unicode.org/license.txt",
    ]
    return "\n".join([*head, *written_runs(list(map(find_class, range(CODE_POINTS))))]) + "\n"


def written_runs(classes: list[int]) -> Iterator[str]:
    """Yield one line per run of one class, or of two by turns; none for OTHER."""
    start = 0
    while start < len(classes):
        digits, end = longest_run(classes, start)
        if digits != "0":
            yield f"{start:04X}{f'-{end - 1:04X}' if end - start > 1 else ''} {digits}"
        start = end


def longest_run(classes: list[int], start: int) -> tuple[str, int]:
    """Return the run at ``start`` as digits and end: two classes by turns only if that is four characters or more."""
    end = start + 1
    while end < len(classes) and classes[end] == classes[start]:
        end += 1
    pair = classes[start : start + 2]
    turns = start
    while classes[turns : turns + 2] == pair:
        turns += 2
    if end == start + 1 and turns - start >= 4 and OTHER not in pair:
        return "".join(map(str, pair)), turns
    return str(classes[start]), end


if __name__ == "__main__":
    DATA.write_text(make(), "ascii")
