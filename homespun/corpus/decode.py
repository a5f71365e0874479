"""Bytes to text, whatever the encoding: strict where it can be, repaired where it must be, refused where it is no text.

In: the blocks of a file. Out: ``Decoded`` texts, each with the name of the encoding that was used. In this order:

1. a byte order mark decides: UTF-8, UTF-16 or UTF-32;
2. a zero byte in the first 8,000 (git's rule), or many control characters: binary, refused;
3. strict UTF-8;
4. UTF-8 with damage: at least four good multi-byte characters for each bad one; the bad become U+FFFD;
5. a legacy encoding (cp1251, koi8-r, cp1252, Shift-JIS ...) found by charset-normalizer, and the Latin code
   pages told apart by the alphabets of the languages that use them;
6. fewer than one bad byte in 200: UTF-8 with U+FFFD; otherwise refused.

A file larger than a block is decoded block by block. The first block decides; a later block that is not
valid there is decided on its own, so that a log with one foreign page keeps both halves right.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

UTF8 = "utf-8"
DAMAGED_UTF8 = "utf-8 with replacements"
# UTF-32 first: its little-endian mark starts with UTF-16's.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARKED_UTF8 = "utf-8 with byte order mark"
ZERO_SEARCHED = 8_000
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\r\x0b\x0c\x1b"))
MOST_CONTROL = 0.05
GOOD_PER_BAD = 4
MOST_BAD = 1 / 200
SAMPLE_BYTES = 32_768
REPLACEMENT = "\ufffd"
REPLACEMENT_BYTES = REPLACEMENT.encode()

CANDIDATE_NAMES = (
    "cp1251 koi8_r cp866 iso8859_5 cp1252 cp1250 iso8859_2 cp1253 cp1254 cp1255 cp1256 cp932 gb18030 big5 cp949 euc_jp"
)
CANDIDATES = CANDIDATE_NAMES.split()
# Which letters a text may have beyond ASCII, by code page and language. A wrong page turns French into
# Polish-looking letters, but never into letters of one alphabet.
LATIN_ALPHABETS = (
    ("cp1252", "éèêàçùâîôûëïüœæ"),  # French
    ("cp1252", "äöüß"),  # German
    ("cp1252", "áéíóúüñ"),  # Spanish
    ("cp1252", "áàâãéêíóôõúüç"),  # Portuguese
    ("cp1252", "àèéìíîòóùú"),  # Italian
    ("cp1252", "åäöæøéü"),  # Swedish, Danish, Norwegian, Finnish
    ("cp1252", "éëïóöüáèê"),  # Dutch
    ("cp1252", "áéíóúýþæðö"),  # Icelandic
    ("cp1250", "áčďéěíňóřšťúůýž"),  # Czech
    ("cp1250", "áäčďéíĺľňóôŕšťúýž"),  # Slovak
    ("cp1250", "ąćęłńóśźż"),  # Polish
    ("cp1250", "áéíóöőúüű"),  # Hungarian
    ("cp1250", "čćžšđ"),  # Croatian, Slovene
    ("iso8859_2", "áčďéěíňóřšťúůýž"),
    ("iso8859_2", "áäčďéíĺľňóôŕšťúýž"),
    ("iso8859_2", "ąćęłńóśźż"),
    ("iso8859_2", "áéíóöőúüű"),
    ("iso8859_2", "čćžšđ"),
    ("cp1254", "çğıöşüâîû"),  # Turkish
)
LATIN_PAGES = {page for page, _ in LATIN_ALPHABETS}


@dataclass(frozen=True)
class Decoded:
    """A text and the name of the encoding it was read by."""

    text: str
    encoding: str


class UndecodableError(Exception):
    """These bytes are no text; never shown to people, the reader counts the file as binary."""


class BinaryError(UndecodableError):
    """These bytes have zeros or control characters as no text has."""


def decode(raw: bytes) -> Decoded:
    """The text of a whole file. Raises ``UndecodableError`` when it is binary."""
    parts = list(decode_blocks([raw]))
    return Decoded("".join(part.text for part in parts), parts[0].encoding if parts else UTF8)


def decode_blocks(blocks: Iterable[bytes]) -> Iterator[Decoded]:
    """The texts of the consecutive blocks of one file; a character cut by a block border stays whole.

    Raises ``UndecodableError`` at the first block when the file is binary; a later block of garbage becomes
    text with U+FFFD, since what came before it was text.
    """
    remaining = iter(blocks)
    first = next(remaining, b"")
    for mark, encoding in MARKS:
        if first.startswith(mark):
            yield from decode_marked(chain([first[len(mark) :]], remaining), encoding)
            return
    if looks_binary(first):
        raise BinaryError
    marked = first.startswith(codecs.BOM_UTF8)
    first = first.removeprefix(codecs.BOM_UTF8)
    preferred: str | None = None
    for block in whole_lines(chain([first], remaining)):
        try:
            decoded = decode_block(block, preferred or UTF8)
        except UndecodableError:
            if preferred is None:
                raise
            decoded = Decoded(block.decode(UTF8, "replace"), DAMAGED_UTF8)
        if marked and decoded.encoding == UTF8:
            decoded = Decoded(decoded.text, MARKED_UTF8)
        if preferred is None or preferred == UTF8:
            preferred = decoded.encoding if decoded.encoding in CANDIDATES else UTF8
        yield decoded


def decode_marked(blocks: Iterable[bytes], encoding: str) -> Iterator[Decoded]:
    """UTF-16 and UTF-32, announced by their byte order mark; bad units become U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in blocks:
        yield Decoded(decoder.decode(block), encoding)
    if tail := decoder.decode(b"", True):
        yield Decoded(tail, encoding)


def looks_binary(head: bytes) -> bool:
    """A zero byte in the first 8,000 bytes, or more than one control character in twenty."""
    start = head[:ZERO_SEARCHED]
    return b"\0" in start or len(start) - len(start.translate(None, CONTROL_BYTES)) > MOST_CONTROL * len(start)


def whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut again at line ends, so that every block can be decoded by itself."""
    held = b""
    for block in blocks:
        block = held + block
        border = line_border(block)
        held = block[border:]
        if border:
            yield block[:border]
    if held:
        yield held


def line_border(block: bytes) -> int:
    """After the last newline; else after the last space; else before a UTF-8 character that is not yet whole.

    Newline and space are safe in every encoding here: no multi-byte character has them as its second byte.
    """
    for border in (b"\n", b" "):
        found = block.rfind(border)
        if found >= 0:
            return found + 1
    for back in range(1, min(4, len(block)) + 1):
        if block[-back] < 0x80:
            return len(block) - back + 1
        if block[-back] >= 0xC0:
            return len(block) - back
    return len(block)


def decode_block(block: bytes, preferred: str = UTF8) -> Decoded:
    """One block of whole lines; ``preferred`` is the legacy encoding of the lines before it, if they had one."""
    for encoding in dict.fromkeys((UTF8, preferred)):
        try:
            return Decoded(block.decode(encoding), encoding)
        except UnicodeDecodeError:
            continue
    damaged = block.decode(UTF8, "replace")
    bad = damaged.count(REPLACEMENT) - block.count(REPLACEMENT_BYTES)
    good = len(damaged) - bad - len(block.translate(None, bytes(range(0x80, 0x100))))
    if good >= GOOD_PER_BAD * bad:
        return Decoded(damaged, DAMAGED_UTF8)
    if legacy := find_legacy(block):
        return Decoded(block.decode(legacy, "replace"), legacy)
    if bad <= MOST_BAD * len(block):
        return Decoded(damaged, DAMAGED_UTF8)
    raise UndecodableError


def find_legacy(block: bytes) -> str | None:
    """The legacy encoding of ``block``, judged by its first lines that are not ASCII; None when none fits."""
    from charset_normalizer import from_bytes

    lines = (line for line in block.split(b"\n") if not line.isascii())
    sample = b"\n".join(lines)[:SAMPLE_BYTES]
    best = from_bytes(sample, cp_isolation=list[str](CANDIDATES), enable_fallback=False).best()
    if best is None or best.encoding not in CANDIDATES:
        return None
    return closest_latin(sample) if best.encoding in LATIN_PAGES else best.encoding


def closest_latin(sample: bytes) -> str:
    """The Latin code page under which most non-ASCII letters belong to one alphabet; cp1252 (Latin-1) on a tie."""
    best_page, best_share = "cp1252", 0.0
    decoded = {page: letters_beyond_ascii(sample.decode(page, "replace")) for page in LATIN_PAGES}
    for page, alphabet in LATIN_ALPHABETS:
        letters = decoded[page]
        share = sum(letter in alphabet for letter in letters) / max(1, len(letters))
        if share > best_share:
            best_page, best_share = page, share
    return best_page


def letters_beyond_ascii(text: str) -> str:
    """The lower-case non-ASCII letters of a text, and the characters that could not be decoded."""
    return "".join(re.findall(r"[^\W\d_\x00-\x7f]|\ufffd", text)).lower()
