"""Text to words, for measures that count words: runs of letters, their accents and vowel signs, and digits.

Marks belong to their letters (the vowel signs of Bengali or Hindi are marks), so that words of any script stay whole.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache


@lru_cache(maxsize=1 << 16)
def kept(character: str) -> str:
    """The character itself if it is part of words, else a space."""
    return character if unicodedata.category(character)[0] in "LMN" else " "


def words_of(text: str) -> list[str]:
    """Words in lower case."""
    return "".join(map(kept, text.lower())).split()


def grams(items: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """All runs of ``size`` items."""
    return zip(*(items[begin:] for begin in range(size)), strict=False)
