"""Tokens in order of rank -> the merges that make them, for formats that store only the tokens.

In: the tokens longer than a byte, lowest rank first. Out: one pair per token, in the order of learning.

tiktoken joins any two neighbours whose bytes together are a token, the one of lowest rank first. For a token to be
made at all, this process run on its own bytes has to arrive at two parts using only lower ranks, and at no other time
and place can it be made of another pair: what happens inside a stretch of text that nothing crosses is the same
whatever stands around it. So those two parts are the merge, and merging by pairs gives the ids of merging by bytes.
Where a token does not end in two parts it has no merge, and the vocabulary is refused rather than changed.

The idea: ``recover_merges`` in Andrej Karpathy's minbpe, ``minbpe/gpt4.py`` (MIT licence), which does not prove it.
"""

from collections.abc import Iterable

from homespun.common.errors import HomespunError
from homespun.tokenizer.encoding import encode_piece
from homespun.tokenizer.formats.reading import shorten
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.vocabulary import Pair


def recover_merges(tokens: Iterable[bytes]) -> tuple[Pair, ...]:
    """Return the merge of each token; one that cannot be reproduced exactly is a ``HomespunError``."""
    made: dict[Pair, int] = {}
    for token in tokens:
        parts = encode_piece(token, made)
        if len(parts) != 2:
            raise HomespunError(
                f"the token {shorten(token)} cannot be reproduced exactly: tokens of lower rank make {len(parts)} "
                "parts of it, not two; give a vocabulary that byte-pair encoding learned"
            )
        made[parts[0], parts[1]] = BYTES + len(made)
    return tuple(made)
