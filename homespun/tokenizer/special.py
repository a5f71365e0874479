"""Special tokens: marks that no text contains, with ids of their own after all merges.

In: text and the names of the special tokens that the caller allows in it.
Out: the text cut at those names.

A special token is encoded only when it is asked for by name. Otherwise the characters ``<|endoftext|>`` in a
document or in a prompt are ordinary text: nobody can end a document, or speak as the assistant, by typing.
"""

import re
from collections.abc import Iterator, Sequence

END_OF_TEXT = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
PADDING = "<|pad|>"
# For models that fill gaps; a tokenizer has them when it is made for one.
MASK = "<|mask|>"
CLASS = "<|class|>"  # before the first of two texts: a place that belongs to neither
SEPARATOR = "<|separator|>"  # after each text, or between the two of a pair

# In this order they get the ids after the merges. The end of a text divides documents; the turns make a chat.
DEFAULT_SPECIAL_TOKENS = (END_OF_TEXT, START_OF_TURN, END_OF_TURN, PADDING)


def cut_at_special(text: str, allowed: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield ``(part, is_special)`` in order; the parts joined are ``text``, and empty parts are left out.

    Where one name begins with another the longer one wins.
    """
    if not allowed:
        if text:
            yield text, False
        return
    longest_first = sorted(allowed, key=len, reverse=True)
    # The group makes re.split keep the names: they stand at the odd places.
    names = re.compile("(" + "|".join(re.escape(name) for name in longest_first) + ")")
    for place, part in enumerate(names.split(text)):
        if part:
            yield part, place % 2 == 1
