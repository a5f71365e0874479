"""Where pieces begin in the next 64 bytes, all at once: one bit per byte, and no decision per piece.

In: the address of 64 bytes, at the first of which a piece begins. Out: a mask of the places behind it at which pieces
certainly begin; 0 where the state machine of ``splitting.py`` has to look.

Each class of ASCII characters is a mask, and "a letter behind something that is none" is an and of two of them, shifted
(the idea of simdjson: Langdale and Lemire 2019). Only what a few neighbours decide is answered. The mask ends before
the first place where more is needed: characters beyond ASCII, contractions, long numbers, some white space.
"""

from typing import Any

from homespun.tokenizer.compiled.intrinsics import (
    add,
    apostrophes_64,
    blanks_64,
    capitals_64,
    continuations_64,
    controls_64,
    digits_64,
    feeds_64,
    inlined,
    leading_zeros,
    leads_64,
    letters_64,
    returns_64,
    shift_right,
    slashes_64,
    trailing_zeros,
    underscores_64,
)

WINDOW = 64
LAST_PLACE = -(1 << 63)


@inlined
def follows(mask):
    """The places right behind those of the mask."""
    return mask << 1


@inlined
def precedes(mask):
    """The places right before those of the mask."""
    return shift_right(mask, 1)


@inlined
def first_place(mask):
    """The first place of a mask, 64 if it is empty."""
    return trailing_zeros(mask)


@inlined
def certain(starts, limit):
    """The starts before ``limit`` without the first place, which is known. The last one depends on what follows."""
    limit = min(limit, WINDOW - 1)
    return shift_right(-1, WINDOW - limit) & starts & ~1 if limit > 1 else 0


@inlined
def wide_characters(text):
    """Where characters beyond ASCII begin, by a lead byte and a continuation byte.

    Other bytes beyond ASCII are invalid and count as symbols. What follows the last byte of the window is not seen: a
    lead byte there may begin a character.
    """
    return leads_64(text) & (precedes(continuations_64(text)) | LAST_PLACE)


@inlined
def before(wide):
    """The limit that characters beyond ASCII set; before them white space may leave its last character to them."""
    return first_place(wide) - 1


@inlined
def long_numbers(digits, most):
    """Where runs of more than ``most`` digits begin."""
    if most == 1:
        return digits & precedes(digits)
    return digits & precedes(digits) & shift_right(digits, 2) & shift_right(digits, 3)


@inlined
def gpt2_starts(text):
    letters, digits, blanks = letters_64(text), digits_64(text), blanks_64(text)
    white = blanks | controls_64(text)
    symbols = ~(letters | digits | white)
    changes = (letters & ~follows(letters)) | (digits & ~follows(digits)) | (symbols & ~follows(symbols))
    starts = (changes & ~follows(blanks)) | (white & ~follows(white)) | (white & ~precedes(white))
    contractions = apostrophes_64(text) & ~follows(symbols | blanks) & precedes(letters)
    return certain(starts, min(before(wide_characters(text)), first_place(contractions) + 1))


def make_gpt4_starts(most_digits: int, cased: bool) -> Any:
    """The starts of GPT-4's family."""

    @inlined
    def starts_of(text):
        letters, digits, blanks = letters_64(text), digits_64(text), blanks_64(text)
        newlines = feeds_64(text) | returns_64(text)
        spaces = blanks | (controls_64(text) & ~newlines)
        white = spaces | newlines
        symbols = ~(letters | digits | white)
        symbol_starts = symbols & ~follows(symbols) & ~follows(blanks)
        # A symbol that begins a piece, or any space, takes the letters behind it into its piece.
        starts = letters & ~follows(letters | spaces | symbol_starts)
        if cased:
            capitals = capitals_64(text)
            starts |= capitals & follows(letters & ~capitals)
        starts |= (digits & ~follows(digits)) | symbol_starts
        # Newlines behind symbols belong to them: from the first of a run the carry of an addition runs to its end.
        first_newlines = newlines & follows(symbols)
        taken_newlines = (add(newlines, first_newlines) ^ newlines) & newlines
        # White space goes up to its last newline; what follows is white space of its own, and leaves its last one.
        behind_newlines = spaces & follows(newlines)
        starts |= (white & ~follows(white) & ~taken_newlines) | (spaces & ~precedes(white)) | behind_newlines
        wide = wide_characters(text)
        limit = before(wide)
        # White space behind a newline that runs into another newline, or out of sight: was it the last one?
        if behind_newlines != 0:
            limit = min(limit, WINDOW - leading_zeros(~spaces))
            if (add(spaces, behind_newlines) & ~spaces & (newlines | wide)) != 0:
                limit = min(limit, first_place(behind_newlines))
        limit = min(limit, first_place(long_numbers(digits, most_digits)) + 1)
        apostrophes = apostrophes_64(text)
        if cased:
            limit = min(limit, first_place(apostrophes & follows(letters)))
            limit = min(limit, first_place(slashes_64(text) & follows(taken_newlines)))
        else:
            limit = min(limit, first_place(apostrophes & symbol_starts & precedes(letters)) + 1)
        return certain(starts, limit)

    return starts_of


@inlined
def homespun_starts(text):
    letters, digits, blanks = letters_64(text), digits_64(text), blanks_64(text)
    newlines = feeds_64(text) | returns_64(text)
    spaces = blanks | (controls_64(text) & ~newlines)
    symbols = ~(letters | digits | spaces | newlines)
    # A single blank, and an underscore that begins a piece, belong to what follows.
    single = blanks & ~follows(spaces)
    underscores = underscores_64(text) & ~follows(symbols | single)
    starts = letters & ~follows(letters | single | underscores)
    starts |= (symbols & ~follows(symbols | single)) | (digits & ~follows(digits))
    starts |= (spaces & ~follows(spaces)) | (newlines & ~follows(newlines))
    contractions = apostrophes_64(text) & (follows(letters) | 1) & precedes(letters)
    limit = min(before(wide_characters(text)), first_place(long_numbers(digits, 3)) + 1)
    return certain(starts, min(limit, first_place(contractions) + 1))


def make_starts(pattern: str) -> Any:
    """The starts of a pattern by its name."""
    makers = {
        "gpt2": lambda: gpt2_starts,
        "cl100k": lambda: make_gpt4_starts(3, False),
        "llama3": lambda: make_gpt4_starts(3, False),
        "qwen2": lambda: make_gpt4_starts(1, False),
        "o200k": lambda: make_gpt4_starts(3, True),
        "homespun": lambda: homespun_starts,
    }
    return makers[pattern]()
