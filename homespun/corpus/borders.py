"""Where a long text may be cut: at a blank line, else a line end, else a space, else between characters.

In: a text. Out: consecutive pieces whose concatenation is the text, exactly.
"""

import unicodedata
from collections.abc import Iterator

BORDERS = ("\n\n", "\n", " ")
JOINERS = "\u200c\u200d"
LONGEST_CLUSTER = 64


def find_border(text: str, start: int, end: int) -> int:
    """The best place to cut ``text[start:end]``, in its second half where there is one; ``start < result <= end``.

    The border belongs to the piece before it. Without any border the cut is made at ``end``, moved back
    before a letter whose accents (combining marks, joiners) would otherwise be torn off.
    """
    if end >= len(text):
        return len(text)
    middle = start + (end - start) // 2
    for border in BORDERS:
        found = text.rfind(border, middle, end)
        if found > start and found + len(border) <= end:
            return skip_blank(text, found + len(border), end)
    return before_cluster(text, start, end)


def skip_blank(text: str, position: int, end: int) -> int:
    """Past further newlines, so that a piece starts with text."""
    while position < end and text[position] == "\n":
        position += 1
    return position


def before_cluster(text: str, start: int, end: int) -> int:
    """``end`` or a little before it, where the character after the cut stands alone."""
    lowest = max(start + 1, end - LONGEST_CLUSTER)
    position = end
    while position > lowest and belongs_to_previous(text, position):
        position -= 1
    return position if not belongs_to_previous(text, position) else end


def belongs_to_previous(text: str, position: int) -> bool:
    """Whether the character at ``position`` is an accent, vowel sign or joiner of the one before, or joined to it."""
    character, previous = text[position], text[position - 1]
    return character in JOINERS or previous in JOINERS or unicodedata.category(character).startswith("M")


def cut(text: str, characters: int) -> Iterator[str]:
    """Consecutive pieces of at most ``characters`` characters; joined they are ``text`` again."""
    start = 0
    while start < len(text):
        end = find_border(text, start, start + characters)
        yield text[start:end]
        start = end
