"""Text -> pieces: the one split that training and encoding share.

In: text, in which bytes that are not UTF-8 travel as surrogate escapes (PEP 383).
Out: pieces; joined they are the text, always.

The split has two steps. ``coarse`` runs the expression over the text, window by window, as one call into C per window.
``fine`` looks at one piece and groups digits; as it depends on nothing but the piece, both the trainer and the encoder
call it once per distinct piece instead of once per occurrence.

Text that is not ASCII is first rewritten character by character as a class text of the same length, in which all the
letters of a kind are one letter (see ``patterns.py``). The expression runs over that, and the text is cut in the same
places.
"""

import re
from collections.abc import Iterator

from homespun.tokenizer.patterns import find_pattern, plain_expression, representative
from homespun.tokenizer.unicode_classes import LETTER, LOWER, NUMBER, UPPER, class_of

# Characters split at once. The list of pieces of a window takes some fifteen times its text.
WINDOW = 1 << 16
DIGITS_PER_GROUP = 3
# Code points whose representatives are remembered, 5 MB when full; no text in living languages has that many.
LARGEST_TABLE = 1 << 16

# Perhaps a letter, followed by a white space: only beyond ASCII it takes a look at the class.
POSSIBLE_BORDER = re.compile("[A-Za-z\x80-\U0010ffff](?=[ \t\r\n])")


class ClassTextTable(dict[int, str]):
    """Code point -> its representative in a class text, for ``str.translate``; what is missing is looked up once."""

    def __missing__(self, code_point: int) -> str:
        """Find the representative, and remember it within bounds."""
        if len(self) >= LARGEST_TABLE:
            self.clear()
        self[code_point] = found = representative(chr(code_point))
        return found


CLASS_TEXT = ClassTextTable()


class Splitter:
    """Cuts text by one of the named patterns; an unknown name is a ``UsageError``."""

    def __init__(self, pattern_name: str) -> None:
        """Compile the expression."""
        self.pattern = find_pattern(pattern_name)
        self._find_all = re.compile(plain_expression(self.pattern.expression)).findall

    def split(self, text: str) -> Iterator[str]:
        """Yield the pieces of ``text``."""
        for pieces in self.coarse(text):
            for piece in pieces:
                yield from self.fine(piece)

    def coarse(self, text: str) -> Iterator[list[str]]:
        """Yield the pieces before digits are grouped, one list per window of the text."""
        for window in self.windows(text):
            if window.isascii():
                yield self._find_all(window)
            else:
                yield cut_alike(window, self._find_all(window.translate(CLASS_TEXT)))

    def fine(self, piece: str) -> list[str]:
        """Cut a run of digits into groups of three from the right, as people read it: 1234567 is 1 234 567.

        From the left (123 456 7) the digits of equal value would stand in different tokens from number to number.
        A look-ahead could do it in the expression, at the price of time quadratic in the length of the number.
        """
        if len(piece) <= DIGITS_PER_GROUP or not self.pattern.groups_digits:
            return [piece]
        if class_of(piece[0]) != NUMBER:
            return [piece]
        first = len(piece) % DIGITS_PER_GROUP
        groups = [piece[start : start + DIGITS_PER_GROUP] for start in range(first, len(piece), DIGITS_PER_GROUP)]
        return [piece[:first], *groups] if first else groups

    def windows(self, text: str) -> Iterator[str]:
        """Cut a long text where a border is certain, at ``WINDOW`` characters or at the first border after them."""
        start = 0
        while start < len(text):
            end = find_border(text, start + WINDOW)
            yield text[start:end]
            start = end


def find_border(text: str, start: int) -> int:
    """Return the first place behind ``start`` where every pattern cuts whatever stands around, or the end of the text.

    That is between a letter and a white space. No piece has a letter followed by a white space, so there is a cut. It
    changes nothing on the left, where what is looked at ahead would be a letter or a mark, or a white space behind
    another one; nor on the right, as what is looked at behind is a letter before an apostrophe. And as the left side
    never ends in white space, its end is not taken for the end of the text by the rules on white space there.
    """
    for possible in POSSIBLE_BORDER.finditer(text, start):
        if class_of(possible[0]) in (UPPER, LOWER, LETTER):
            return possible.end()
    return len(text)


def cut_alike(text: str, pieces: list[str]) -> list[str]:
    """Cut ``text`` into pieces of the lengths of ``pieces``."""
    start = 0
    cut = []
    for piece in pieces:
        end = start + len(piece)
        cut.append(text[start:end])
        start = end
    return cut


def text_of_bytes(raw: bytes) -> str:
    """Bytes -> text; a byte that is not UTF-8 becomes a surrogate escape, U+DC80 to U+DCFF."""
    return raw.decode("utf-8", "surrogateescape")


def bytes_of_text(text: str) -> bytes:
    """Text -> bytes; the inverse of ``text_of_bytes``.

    A str can hold surrogates that no UTF-8 can. U+DC80 to U+DCFF are escapes and stand for one byte each. Any other
    one, half of a pair that lost its half, means nothing: it becomes U+FFFD, as in every browser.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "".join(map(replace_lone_surrogate, text)).encode("utf-8", "surrogateescape")


def replace_lone_surrogate(character: str) -> str:
    """Return U+FFFD for a surrogate that is not an escape; every other character stays."""
    is_surrogate = "\ud800" <= character <= "\udfff"
    is_escape = "\udc80" <= character <= "\udcff"
    return "\ufffd" if is_surrogate and not is_escape else character
