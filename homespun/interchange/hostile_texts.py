"""Texts on which tokenizers part ways: what an exported tokenizer is tried on before it is announced.

Written down where somebody once got it wrong, and drawn by chance (always the same) from all of Unicode.
"""

import random
from collections.abc import Iterable

TEXTS = (
    "",
    " ",
    "  \n\n\t \r\n",
    "a  b   c    d",
    " leading and trailing ",
    "It's we're I'VE they'd 'tis O'Neill's",
    "1234567890 3.14159 1,000,000 0x1F",
    "naïve café e\u0301 A\u030a Å ﬁ ﬂ ½ ①",
    "আমি বাংলায় গান গাই। हिन्दी में लिखा",
    "العربية עברית ไทย ქართული",
    "中文字符，日本語のテキスト、한국어",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 ☃️",
    "def f(x):\n\treturn {'a': [x ** 2, ...]}  # !?",
    "https://example.org/a?b=c&d=%20#e",
    "<|endoftext|> <|im_start|>user <s> </s> [INST] <unk>",
    "\x00\x01\x7f\x80\x9f\xa0",
    "\u200b\u200d\u2028\u2029\ufeff\u00ad",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "................................--------------------------------",
    "mixedΚαι英語andрусский123абв",
)
DRAWN, LONGEST = 200, 40
SURROGATES = range(0xD800, 0xE000)
# The newest letters are left out: whether they are letters depends on the Unicode tables of each program.
PLANES = (range(0x20, 0x7F), range(0xA0, 0x250), range(0x370, 0x600), range(0x900, 0xE00), range(0x3040, 0x9FFF),
          range(0x1F300, 0x1F650))  # fmt: skip


def hostile_texts(special: Iterable[str]) -> list[str]:
    """All of them, and the names of a tokenizer's special tokens inside and beside words."""
    names = list(special)
    return [*TEXTS, *(f"{name}a {name} b{name}" for name in names), *drawn_texts(random.Random(1))]  # noqa: S311


def drawn_texts(chance: random.Random) -> list[str]:
    """Characters of several scripts, with spaces and line ends between."""
    return ["".join(drawn_character(chance) for _ in range(chance.randrange(1, LONGEST))) for _ in range(DRAWN)]


def drawn_character(chance: random.Random) -> str:
    """One character; every fourth is white space."""
    return chance.choice(" \n") if chance.random() < 0.25 else chr(chance.choice(chance.choice(PLANES)))
