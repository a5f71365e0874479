"""One form for text that looks the same: Unicode NFC, plain newlines, no invisible junk.

In: any text. Out: the same text with

- every line end (``\\r\\n``, ``\\r``, form feed, U+0085, U+2028 ...) as ``\\n``;
- control characters, byte order marks, zero-width spaces, soft hyphens, text-direction switches and
  noncharacters removed, lone surrogates as U+FFFD. Tab and newline stay, and so do the zero-width
  joiner and non-joiner (U+200D, U+200C): Bengali, Hindi and Persian spell with them, emoji join with them;
- composed characters (NFC, Unicode Standard Annex 15), so that "é" is one character, not two;
- no spaces at the ends of lines, at most two blank lines in a row, none at the start or end.

``normalize`` is idempotent: junk goes before composing (removing it may bring a letter and its accent
together), and no later step makes new junk or a new pair to compose.
"""

import re
import unicodedata

LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
JUNK = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters (tab, line ends aside)
    "\u00ad\u180e\u200b\u2060\ufeff"  # soft hyphen, zero-width spaces, word joiner, byte order mark
    "\u202a-\u202e\u2066-\u2069"  # switches of text direction, unpaired once a text is cut
    "\ufff9-\ufffb\ufffe\uffff]"  # interlinear annotation marks, noncharacters
)
SURROGATES = re.compile("[\ud800-\udfff]")
MANY_BLANK_LINES = re.compile("\n{4,}")
ASCII_JUNK = dict.fromkeys((*range(9), *range(14, 32), 127)) | {0x0B: "\n", 0x0C: "\n"}


def normalize(text: str) -> str:
    """The normal form described at the top of this file; ``normalize(normalize(x)) == normalize(x)``."""
    text = clean_ascii(text) if text.isascii() else compose(clean_characters(text))
    text = "\n".join([line.rstrip() for line in text.split("\n")])
    if "\n\n\n\n" in text:
        text = MANY_BLANK_LINES.sub("\n\n\n", text)
    return text.strip("\n")


def clean_ascii(text: str) -> str:
    """``clean_characters`` for ASCII alone, by a table, which is several times faster."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.translate(ASCII_JUNK)


def clean_characters(text: str) -> str:
    """Line ends to newline, junk away, lone surrogates to U+FFFD; searching first, since most texts are clean."""
    if LINE_ENDS.search(text):
        text = LINE_ENDS.sub("\n", text)
    if JUNK.search(text):
        text = JUNK.sub("", text)
    if SURROGATES.search(text):
        text = SURROGATES.sub("\ufffd", text)
    return text


def compose(text: str) -> str:
    """NFC; the quick check is about ten times faster than composing, and most text passes it."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
