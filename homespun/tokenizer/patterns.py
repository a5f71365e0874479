"""Named split patterns: regular expressions that cut text into the pieces inside which BPE may merge.

In: a name. Out: a ``SplitPattern``.

Why split at all? Without it BPE would learn tokens such as ``dog.`` and ``dog!`` beside ``dog`` (GPT-2 paper,
section 2.2), and counting pairs would have to go over the whole text instead of over the distinct pieces.

``gpt2``, ``cl100k`` and ``o200k`` are the published expressions of OpenAI's tiktoken (MIT licence), for vocabularies
from there. The expressions need the module ``regex``: the standard ``re`` has no classes for the letters, numbers and
combining marks of Unicode. All of them take time linear in the length of the text: no repetition is followed by
something that could make it try again from many places.
"""

from dataclasses import dataclass

from homespun.common.errors import UsageError

DEFAULT_PATTERN = "homespun"


@dataclass(frozen=True)
class SplitPattern:
    """How to cut a text: first by ``expression``, then, if asked, runs of digits into groups of three."""

    name: str
    expression: str
    groups_digits: bool
    summary: str
    # The same on text that is all ASCII, for the standard ``re``: 28 MB/s where ``regex`` makes 11.
    ascii_expression: str | None = None


# One line of the expression per kind of piece; the first that fits wins.
HOMESPUN = "|".join(
    [
        # A word, with one space or underscore before it: " name", "_name". Combining marks (\p{M}: vowel signs in
        # Bengali, Hindi, Thai) and the joiners ZWNJ and ZWJ (U+200C, U+200D) belong to their letters.
        r"[ _]?\p{L}[\p{L}\p{M}\u200c\u200d]*+",
        # The endings of don't and we'll, with the straight or the curly apostrophe. Only behind
        # a letter, so the quotes of 'sum' in code stay quotes.
        r"(?<=\p{L})['\u2019](?i:[sdmt]|ll|ve|re)(?![\p{L}\p{M}])",
        # Punctuation, operators, emoji and their joiners, with one space before: " ==", "):", " ->".
        r" ?[^\s\p{L}\p{N}]++",
        # Newlines stand alone. Joined to the indentation behind them they would save 5 % of the tokens of Python
        # source, but a prompt that ends in a newline would then look like nothing seen in training.
        r"[\r\n]++",
        # Other space, whole: an indentation is one piece, however deep.
        r"[^\S\r\n]++",
        # A number, of any length here: split.py groups its digits. No space before it, so that the tokens of 2024
        # are the same at the start of a line and inside it.
        r"\p{N}++",
    ]
)

HOMESPUN_ASCII = "|".join(
    [
        r"[ _]?[A-Za-z]+",
        r"(?<=[A-Za-z])'(?i:[sdmt]|ll|ve|re)(?![A-Za-z])",
        r" ?[^ \t\n\r\x0b\x0cA-Za-z0-9]+",
        r"[\r\n]+",
        r"[ \t\x0b\x0c]+",
        r"[0-9]+",
    ]
)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)

PATTERNS = {
    pattern.name: pattern
    for pattern in (
        SplitPattern(
            "homespun", HOMESPUN, True, "words of all scripts, code, digits by three from the right", HOMESPUN_ASCII
        ),
        SplitPattern("gpt2", GPT2, False, "GPT-2 (2019)"),
        SplitPattern("cl100k", CL100K, False, "GPT-4 (2023)"),
        SplitPattern("o200k", O200K, False, "GPT-4o (2024)"),
    )
}


def find_pattern(name: str) -> SplitPattern:
    """Look up a pattern; an unknown name is a ``UsageError`` that lists the known ones."""
    pattern = PATTERNS.get(name)
    if pattern is None:
        raise UsageError(f"unknown split pattern {name!r}; choose one of {', '.join(PATTERNS)}")
    return pattern
