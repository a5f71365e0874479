"""Texts that are hard to split alike: many scripts, emoji, controls, long runs of white space, numbers, code.

In: a number and a seed. Out: so many texts, the same ones for the same seed, all of them valid Unicode.
"""

from collections.abc import Sequence
from random import Random

SPACES = " \t\n\r\x0b\x0c\x1c\x1f\x85\u00a0\u1680\u2000\u2009\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
CONTROLS = "".join(map(chr, [*range(32), *range(0x7F, 0xA0), 0x200B, 0x200C, 0x200D, 0x2060, 0xFFFD, 0xFFFF]))
BENGALI = "".join(map(chr, range(0x0980, 0x09FF))) + "।॥ "
RUSSIAN = "".join(map(chr, range(0x0410, 0x0450))) + "ёЁ —«».,!? "
EMOJI = "😀😂❤\ufe0f👍🏽👩\u200d🚀🇩🇪🇧🇩1\ufe0f\u20e3🏴\U000e0067\U000e007f 👨\u200d👩\u200d👧"
OTHER_SCRIPTS = "éÉßǅʰſKжΑΩςיִבְּעربيฉันทษะกำहिन्दी中文字日本語ひらカタ한국어ⅫⅧ½²٣৪𝟘"
PUNCTUATION = "'’\"`_-–—.,;:!?/\\|@#$%^&*()[]{}<>=+~€№§ "
DIGITS = "0123456789 ,.-xe٣৪१²"
ASCII = "etaoinshrdlucmfwypvbgkjqxz ETAOINSHR  '_.,0123456789\n"
WORDS = (
    *[" the", " a", "don't", "WE'LL", "I'Ve", "it’s", "'s", "'S", "'LL", "'re", "''", "ſ", "'ſ"],
    *["_x", " _y", "__init__", "camelCase", "1", "12", "123", "1234", "1234567"],
    *["\n", "\n\n", "\r\n", " \n ", "  ", "    ", "\t", "\u3000", "//", "!?", " ==", "): ", "{\n", "    return"],
    *["ক্ষমা", " বাংলা", "мир", " Привет", "字", "é", "e\u0301", "👩\u200d🚀", "x" * 31, "-" * 40, " " * 60, "\n" * 9],
)
ALPHABETS: tuple[Sequence[str], ...] = (
    ASCII,
    WORDS,
    SPACES + "aB1.",
    CONTROLS + "a 1",
    BENGALI,
    RUSSIAN,
    EMOJI + " a",
    OTHER_SCRIPTS + " '",
    PUNCTUATION + "sStTlLdm",
    DIGITS,
    SPACES + BENGALI + RUSSIAN + OTHER_SCRIPTS + PUNCTUATION + ASCII,
)


def any_character(random: Random) -> str:
    """Any character but a surrogate: each plane that has some as often, assigned or not."""
    plane = random.choice((0, 0, 0, 1, 1, 2, 3, 14, 15, 16))
    code_point = plane << 16 | random.randrange(1 << 16)
    return chr(code_point) if not 0xD800 <= code_point < 0xE000 else "a"


def fuzzed_text(random: Random, longest: int = 200) -> str:
    """One text: parts of one alphabet, of a few characters of it, of all of Unicode, or of one character."""
    parts = []
    for _ in range(random.choice((1, 1, 2, 3))):
        alphabet: Sequence[str] = random.choice(ALPHABETS)
        kind = random.randrange(8)
        length = random.randint(1, longest)
        if kind < 2:
            alphabet = random.sample(list(dict.fromkeys(alphabet)), random.randint(1, 6))
        elif kind == 2:
            alphabet = [any_character(random) for _ in range(random.randint(1, 30))] + [" ", "a"]
        elif kind == 3:
            alphabet, length = [random.choice(alphabet)], random.randint(1, 5 * longest)
        parts.append("".join(random.choices(alphabet, k=length)))
    return "".join(parts)[: random.randint(1, 3 * longest)]


def fuzzed_texts(count: int, seed: int = 1) -> list[str]:
    """So many texts."""
    random = Random(seed)
    return [fuzzed_text(random) for _ in range(count)]
