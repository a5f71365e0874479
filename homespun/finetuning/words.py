"""A text -> its words, in any script.

Letters, digits and the marks that belong to letters make words; everything else parts them. The usual pattern ``\\w+``
knows no marks and would cut Bengali and Hindi words at their vowel signs.
"""

import unicodedata


def words_of(text: str) -> list[str]:
    """In lower case."""
    return "".join(one if is_of_word(one) else " " for one in text.casefold()).split()


def is_of_word(character: str) -> bool:
    """A letter, a digit, or a mark."""
    return character.isalnum() or unicodedata.category(character)[0] == "M"
