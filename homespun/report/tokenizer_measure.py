"""Texts and tokenizers -> numbers: bytes per token by source and by script, and how often each token was used.

In: one source's text at a time, and the tokenizers to measure on it. Out: ``Measurement``, one per tokenizer.

A text is encoded as a whole, as it would be for training; a token belongs to the line in which it begins. The bytes of
a line are the same for every tokenizer, so their numbers can be compared.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from homespun.tokenizer.split import bytes_of_text
from homespun.tokenizer.tokenizer import Tokenizer

OURS = "this tokenizer"  # the name of the one a page is about, among those it is compared with
LARGEST_TEXT = 4_000_000  # characters of one source that are measured; bounds the memory
DIGITS, CODE, OTHER, KANA, CJK = "digits", "code", "other", "Kana", "CJK"

# First and last character of the blocks of each script. Left out on purpose: U+0964 and U+0965, the full stops that
# Hindi, Bengali and others share.
BLOCKS = {
    "Latin": (("A", "Z"), ("a", "z"), ("\u00c0", "\u00d6"), ("\u00d8", "\u00f6"), ("\u00f8", "\u02af"),
              ("\u1e00", "\u1eff"), ("\u2c60", "\u2c7f"), ("\ua720", "\ua7ff"), ("\uff21", "\uff3a"),
              ("\uff41", "\uff5a")),
    "Greek": (("\u0370", "\u03ff"), ("\u1f00", "\u1fff")),
    "Cyrillic": (("\u0400", "\u052f"), ("\u1c80", "\u1c8f"), ("\u2de0", "\u2dff"), ("\ua640", "\ua69f")),
    "Hebrew": (("\u0590", "\u05ff"), ("\ufb1d", "\ufb4f")),
    "Arabic": (("\u0600", "\u06ff"), ("\u0750", "\u077f"), ("\u08a0", "\u08ff"), ("\ufb50", "\ufdff"),
               ("\ufe70", "\ufefe")),
    "Devanagari": (("\u0900", "\u0963"), ("\u0966", "\u097f"), ("\ua8e0", "\ua8ff")),
    "Bengali": (("\u0980", "\u09ff"),),
    "Thai": (("\u0e00", "\u0e7f"),),
    KANA: (("\u3041", "\u30ff"), ("\u31f0", "\u31ff"), ("\uff66", "\uff9f")),
    CJK: (("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U000323af")),
    "Hangul": (("\u1100", "\u11ff"), ("\u3130", "\u318f"), ("\ua960", "\ua97f"), ("\uac00", "\ud7af")),
}  # fmt: skip
RANGES = sorted((first, last, script) for script, blocks in BLOCKS.items() for first, last in blocks)
STARTS = [first for first, _, _ in RANGES]
CODE_SIGNS = frozenset("{}[]()<>=_;*/\\+|&%$#@`~^")


@lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str:
    """The script of a character, ``digits``, ``code`` for the signs of programs; empty for white space."""
    if character.isspace():
        return ""
    place = bisect_right(STARTS, character) - 1
    if place >= 0 and character <= RANGES[place][1]:
        return RANGES[place][2]
    if character.isdecimal():
        return DIGITS
    return CODE if character in CODE_SIGNS else OTHER


def dominant_script(line: str) -> str:
    """A guess at the script of a line; empty if nothing in it can be seen.

    Most letters win, if letters are most of the line. Latin with many signs of programs is ``code``, and Chinese
    characters with some kana among them are Japanese.
    """
    counts: Counter[str] = Counter()
    for character, count in Counter(line).items():
        counts[script_of(character)] += count
    visible = counts.total() - counts[""]
    if not visible:
        return ""
    script, most = max(((name, counts[name]) for name in BLOCKS), key=lambda entry: entry[1])
    letters = sum(counts[name] for name in BLOCKS)
    if 2 * letters >= visible and most:
        if script == CJK and 5 * counts[KANA] >= letters:
            return KANA
        return CODE if script == "Latin" and 8 * counts[CODE] >= visible else script
    return max((DIGITS, CODE, OTHER), key=lambda name: counts[name])


@dataclass
class Count:
    """What a text came to: bytes, tokens, and how many of the tokens are not whole characters."""

    bytes: int = 0
    tokens: int = 0
    parts: int = 0

    @property
    def bytes_per_token(self) -> float | None:
        """How much text one token carries on average; ``None`` for no text."""
        return self.bytes / self.tokens if self.tokens else None

    def add(self, other: "Count") -> None:
        """Add another text."""
        self.bytes += other.bytes
        self.tokens += other.tokens
        self.parts += other.parts


@dataclass
class Measurement:
    """One tokenizer on all texts."""

    by_source: dict[str, Count] = field(default_factory=dict)
    by_script: dict[str, Count] = field(default_factory=dict)
    uses: Counter[int] = field(default_factory=Counter)

    @property
    def total(self) -> Count:
        """All texts together."""
        total = Count()
        for count in self.by_source.values():
            total.add(count)
        return total


@dataclass(frozen=True)
class Stretch:
    """Neighbouring lines of one script: its name, and where it ends in the bytes of the text."""

    script: str
    end: int


def stretches(text: str) -> list[Stretch]:
    """Cut a text into stretches of one script; empty lines belong to the lines before them."""
    found: list[Stretch] = []
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(bytes_of_text(line))
        script = dominant_script(line) or (found[-1].script if found else OTHER)
        if found and found[-1].script == script:
            found.pop()
        found.append(Stretch(script, end))
    return found


class Ruler:
    """A tokenizer with what measuring needs of it, worked out once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Look at all tokens."""
        self.tokenizer = tokenizer
        raw = {token: tokenizer.token_bytes(token) for token in tokenizer.token_ids()}
        self.lengths = {token: len(value) for token, value in raw.items()}
        self.parts = frozenset(token for token, value in raw.items() if not is_text(value))
        self.measurement = Measurement()

    def measure(self, source: str, text: str, cuts: list[Stretch]) -> None:
        """Encode one source's text, and add it to the measurement."""
        ids = self.tokenizer.encode(text)
        self.measurement.uses.update(ids)
        whole = Count()
        begin = place = 0
        tokens = iter(ids)
        for cut in cuts:
            count = Count(bytes=cut.end - begin)
            while place < cut.end:
                token = next(tokens)
                place += self.lengths[token]
                count.tokens += 1
                count.parts += token in self.parts
            self.measurement.by_script.setdefault(cut.script, Count()).add(count)
            whole.add(count)
            begin = cut.end
        self.measurement.by_source[source] = whole


def measure_all(tokenizers: Mapping[str, Tokenizer], texts: Mapping[str, str]) -> dict[str, Measurement]:
    """Measure every tokenizer on every text, one text at a time."""
    rulers = {name: Ruler(tokenizer) for name, tokenizer in tokenizers.items()}
    for source, text in texts.items():
        short = text[:LARGEST_TEXT]
        cuts = stretches(short)
        for ruler in rulers.values():
            ruler.measure(source, short, cuts)
    return {name: ruler.measurement for name, ruler in rulers.items()}


def scripts_by_size(measurements: Mapping[str, Measurement]) -> list[str]:
    """All scripts that were met, those with the most bytes first."""
    sizes: Counter[str] = Counter()
    for measurement in measurements.values():
        for script, count in measurement.by_script.items():
            sizes[script] = count.bytes
    return [script for script, _ in sizes.most_common()]


def is_text(raw: bytes) -> bool:
    """Whether bytes are whole characters."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def vocabulary_lengths(tokenizer: Tokenizer) -> Counter[int]:
    """How many tokens of the vocabulary have each length in bytes; special tokens are left out."""
    return Counter(map(len, tokenizer.vocabulary.learned_bytes))


def used_lengths(tokenizer: Tokenizer, uses: Mapping[int, int]) -> Counter[int]:
    """How many tokens of the texts have each length in bytes."""
    lengths: Counter[int] = Counter()
    for token, count in uses.items():
        lengths[len(tokenizer.token_bytes(token))] += count
    return lengths


def learned_tokens(tokenizer: Tokenizer) -> list[tuple[int, bytes]]:
    """Public ids and bytes of all tokens but the special ones, in the order of learning."""
    return list(zip(tokenizer.vocabulary.public_ids(), tokenizer.vocabulary.learned_bytes, strict=True))


def repeats_itself(raw: bytes) -> bool:
    """Whether a token is a run: of spaces, of dashes, or of anything with few different characters for its length."""
    text = raw.decode("utf-8", "replace")
    return 3 * len(set(text)) <= len(text) or (len(text) > 1 and len(set(text)) == 1)


def longest_learned(tokenizer: Tokenizer, most: int) -> list[bytes]:
    """The longest tokens, longest first, of equal length the earlier learned; special ones are left out."""
    return sorted(tokenizer.vocabulary.learned_bytes, key=len, reverse=True)[:most]


def longest_words(tokenizer: Tokenizer, most: int) -> dict[str, list[bytes]]:
    """The longest tokens of each script that do not repeat themselves; the scripts with most such tokens first."""
    by_script: dict[str, list[bytes]] = {}
    for raw in tokenizer.vocabulary.learned_bytes:
        if len(raw) > 3 and is_text(raw) and not repeats_itself(raw):
            script = dominant_script(raw.decode("utf-8"))
            by_script.setdefault(script or OTHER, []).append(raw)
    ranked = sorted(by_script.items(), key=lambda entry: len(entry[1]), reverse=True)
    return {script: different_words(sorted(found, key=len, reverse=True), most) for script, found in ranked}


def different_words(tokens: Iterable[bytes], most: int) -> list[bytes]:
    """The first ``most`` tokens, without those that are a part of one before them: ``king`` beside ``kings``."""
    kept: list[bytes] = []
    words: list[str] = []
    for raw in tokens:
        word = raw.decode("utf-8").strip().casefold()
        if not any(word in other for other in words):
            kept.append(raw)
            words.append(word)
        if len(kept) == most:
            break
    return kept
