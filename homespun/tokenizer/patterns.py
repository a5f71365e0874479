r"""Named split patterns: regular expressions that cut text into the pieces inside which BPE may merge.

In: a name. Out: a ``SplitPattern``: the expression as published, and the same for the standard ``re``.

Why split at all? Without it BPE would learn tokens such as ``dog.`` and ``dog!`` beside ``dog`` (GPT-2 paper,
section 2.2), and counting pairs would have to go over the whole text instead of over the distinct pieces.

``gpt2``, ``cl100k`` and ``o200k`` are the published expressions of OpenAI's tiktoken (MIT licence), ``llama3`` and
``qwen2`` those of the models of that name, for vocabularies from there. They name classes such as ``\p{L}`` and
``\s``, which the standard ``re`` lacks or takes from the Unicode version of the running Python. So a text that is not
ASCII is first rewritten as a *class text*, in which one character stands for all of its class, and the classes are
written out as sets of these: ``plain_expression`` does that. All expressions take time linear in the length of the
text: no repetition is followed by something that could make it try again from many places.
"""

import re
from dataclasses import dataclass
from string import ascii_lowercase

from homespun.common.errors import UsageError
from homespun.tokenizer.unicode_classes import (
    JOINER,
    LETTER,
    LOWER,
    MARK,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    UPPER,
    class_of,
)

DEFAULT_PATTERN = "homespun"


@dataclass(frozen=True)
class SplitPattern:
    """How to cut a text: first by ``expression``, then, if asked, runs of digits into groups of three."""

    name: str
    expression: str
    groups_digits: bool
    summary: str


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

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# Today's definition. Unlike that of 2023, white space at the very end of a text is one piece, newlines and all.
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
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

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

PATTERNS = {
    pattern.name: pattern
    for pattern in (
        SplitPattern("homespun", HOMESPUN, True, "words of all scripts, code, digits by three from the right"),
        SplitPattern("gpt2", GPT2, False, "GPT-2 (2019)"),
        SplitPattern("cl100k", CL100K, False, "GPT-4 (2023)"),
        SplitPattern("o200k", O200K, False, "GPT-4o (2024)"),
        SplitPattern("llama3", LLAMA3, False, "Llama 3 (2024)"),
        SplitPattern("qwen2", QWEN2, False, "Qwen 2, 2.5 and 3 (2024)"),
    )
}


def find_pattern(name: str) -> SplitPattern:
    """Look up a pattern; an unknown name is a ``UsageError`` that lists the known ones."""
    pattern = PATTERNS.get(name)
    if pattern is None:
        raise UsageError(f"unknown split pattern {name!r}; choose one of {', '.join(PATTERNS)}")
    return pattern


# What stands for a class in a class text. All are from Latin-1, so that a class text takes one byte per character and
# a set of them is a single table for ``re``; none is ASCII, as ASCII characters stand for themselves.
REPRESENTATIVES = {
    OTHER: "¤",
    UPPER: "À",
    LOWER: "à",
    LETTER: "ª",
    MARK: "¸",
    NUMBER: "²",
    SPACE: "\xa0",
    JOINER: "\xad",
}

# The characters beyond ASCII that expressions name one by one. Ignoring case, the long s is an s for everybody.
LONG_S = "\u017f"
CURLY_APOSTROPHE = "\u2019"
REPRESENTATIVES_OF_NAMED = {LONG_S: "ß", CURLY_APOSTROPHE: "´"}


def representative(character: str) -> str:
    """Return what stands for ``character`` in a class text."""
    if character.isascii():
        return character
    return REPRESENTATIVES_OF_NAMED.get(character) or REPRESENTATIVES[class_of(character)]


# No expression names capitals without titlecase, or one sort of caseless letters without the other.
CLASSES_OF_ESCAPE = {
    r"\p{L}": {UPPER, LOWER, LETTER},
    r"\p{Lu}": {UPPER},
    r"\p{Lt}": {UPPER},
    r"\p{Ll}": {LOWER},
    r"\p{Lm}": {LETTER},
    r"\p{Lo}": {LETTER},
    r"\p{M}": {MARK},
    r"\p{N}": {NUMBER},
    r"\s": {SPACE, NEWLINE},
    r"\S": {OTHER, UPPER, LOWER, LETTER, MARK, NUMBER, JOINER},
}

ESCAPE = r"\\p\{[A-Za-z]+\}|\\u[0-9a-f]{4}|\\."
ITEM = re.compile(f"{ESCAPE}|.")
PART = re.compile(rf"\(\?i:|\[(?:{ESCAPE}|[^\]])+\]|{ESCAPE}|.")


def plain_expression(expression: str) -> str:
    """Write a published expression for the standard ``re`` and for class texts.

    Every class, and every letter where case is ignored, becomes the set of those characters of a class text that it
    fits. So nothing in the result depends on the Unicode version of ``re``.
    """
    alphabet = class_text_alphabet()
    written = []
    ignores_case = False
    for part in PART.findall(expression):
        if part == "(?i:":
            ignores_case = True
            written.append("(?:")
        elif part == "$":
            written.append(r"\Z")  # in ``re`` a ``$`` would also fit before a last newline
        elif part == ")":
            ignores_case = False
            written.append(part)
        elif part[0] in "[\\" or (ignores_case and part in ascii_lowercase):
            written.append(written_set(members_of_set(part, alphabet, ignores_case)))
        else:
            written.append(part)
    return "".join(written)


def class_text_alphabet() -> dict[str, int]:
    """Return all characters that a class text can hold, and their classes."""
    ascii_classes = {chr(code_point): class_of(chr(code_point)) for code_point in range(128)}
    classes = {stand_in: character_class for character_class, stand_in in REPRESENTATIVES.items()}
    named = {stand_in: class_of(character) for character, stand_in in REPRESENTATIVES_OF_NAMED.items()}
    return ascii_classes | classes | named


def members_of_set(part: str, alphabet: dict[str, int], ignores_case: bool) -> set[str]:
    """Return the characters of a class text that fit ``[...]``, ``[^...]`` or a single escape or letter."""
    is_set = part[0] == "["
    excludes = part.startswith("[^")
    items = ITEM.findall(part[1 + excludes : -1] if is_set else part)
    members = set().union(*(members_of_item(item, alphabet, ignores_case) for item in items))
    return alphabet.keys() - members if excludes else members


def members_of_item(item: str, alphabet: dict[str, int], ignores_case: bool) -> set[str]:
    """Return the characters of a class text that fit one escape or one literal character."""
    if item in CLASSES_OF_ESCAPE:
        return {character for character, found in alphabet.items() if found in CLASSES_OF_ESCAPE[item]}
    character = item.encode("ascii").decode("unicode_escape")
    spellings = {character}
    if ignores_case:
        spellings |= {character.upper(), LONG_S} if character == "s" else {character.upper()}
    return set(map(representative, spellings))


def written_set(members: set[str]) -> str:
    """Write a set with every character as its number, so that none of them means something else."""
    return "[" + "".join(f"\\x{ord(character):02x}" for character in sorted(members)) + "]"
