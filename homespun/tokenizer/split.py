"""Text -> pieces: the one split that training and encoding share.

In: text, in which bytes that are not UTF-8 travel as surrogate escapes (PEP 383).
Out: pieces; joined they are the text, always.

The split has two steps. ``coarse`` runs the expression over the text, window by window, as one call into C per window.
``fine`` looks at one piece and groups digits; as it depends on nothing but the piece, both the trainer and the encoder
call it once per distinct piece instead of once per occurrence.
"""

import re
from collections.abc import Iterator

from homespun.tokenizer.patterns import find_pattern

# Characters split at once. The list of pieces of a window takes some fifteen times its text.
WINDOW = 1 << 16
DIGITS_PER_GROUP = 3


class Splitter:
    """Cuts text by one of the named patterns; an unknown name is a ``UsageError``."""

    def __init__(self, pattern_name: str) -> None:
        """Compile the expressions."""
        import regex

        self.pattern = find_pattern(pattern_name)
        self._find_all = regex.compile(self.pattern.expression).findall
        ascii_expression = self.pattern.ascii_expression
        self._find_all_ascii = re.compile(ascii_expression).findall if ascii_expression else self._find_all
        self._is_number = regex.compile(r"\p{N}").match
        # Between a letter and a white space every pattern has a border, and the split of neither side depends on the
        # other: no piece has a letter followed by a space, and what is looked at behind or ahead are letters only.
        self._safe_border = regex.compile(r"\p{L}(?=[ \t\r\n])").search

    def split(self, text: str) -> Iterator[str]:
        """Yield the pieces of ``text``."""
        for pieces in self.coarse(text):
            for piece in pieces:
                yield from self.fine(piece)

    def coarse(self, text: str) -> Iterator[list[str]]:
        """Yield the pieces before digits are grouped, one list per window of the text."""
        for window in self.windows(text):
            find_all = self._find_all_ascii if window.isascii() else self._find_all
            yield find_all(window)

    def fine(self, piece: str) -> list[str]:
        """Cut a run of digits into groups of three from the right, as people read it: 1234567 is 1 234 567.

        From the left (123 456 7) the digits of equal value would stand in different tokens from number to number.
        A look-ahead could do it in the expression, at the price of time quadratic in the length of the number.
        """
        if len(piece) <= DIGITS_PER_GROUP or not self.pattern.groups_digits or not self._is_number(piece):
            return [piece]
        first = len(piece) % DIGITS_PER_GROUP
        groups = [piece[start : start + DIGITS_PER_GROUP] for start in range(first, len(piece), DIGITS_PER_GROUP)]
        return [piece[:first], *groups] if first else groups

    def windows(self, text: str) -> Iterator[str]:
        """Cut a long text where a border is certain, at ``WINDOW`` characters or at the first border after them."""
        start = 0
        while start < len(text):
            border = self._safe_border(text, start + WINDOW)
            end = border.end() if border else len(text)
            yield text[start:end]
            start = end


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
