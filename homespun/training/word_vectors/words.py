"""A text -> its words, in any language that writes spaces between them.

In: any text. Out: the words in their order, without punctuation, in lower case if asked.

A word is a run of letters and digits. Combining marks (the vowel signs of Bengali, Hindi or Thai, accents that are
characters of their own) and the joiners U+200C and U+200D stay with the letter before them: Python's ``\\w`` would cut
words there. Everything else divides: ``well-known`` and ``don't`` are two words each; ``dog's`` counts as ``dog``.

What this leaves out: Chinese, Japanese and Thai write no spaces; a whole run of letters is one word there. Such text
must be divided by spaces before.
"""

import re
from functools import cache

from homespun.tokenizer.patterns import plain_expression
from homespun.tokenizer.split import CLASS_TEXT

WORD_EXPRESSION = r"[\p{L}\p{N}][\p{L}\p{N}\p{M}\u200c\u200d]*+"


def find_words(text: str, lower_case: bool = True) -> list[str]:
    """Return all words of a text."""
    if lower_case:
        text = text.lower()
    if text.isascii():
        return word_expression().findall(text)
    # Beyond ASCII the expression runs over a text of the same length, in which one sign stands for all letters.
    return [text[found.start() : found.end()] for found in word_expression().finditer(text.translate(CLASS_TEXT))]


@cache
def word_expression() -> re.Pattern[str]:
    """Return WORD_EXPRESSION as the standard ``re`` takes it."""
    return re.compile(plain_expression(WORD_EXPRESSION))
