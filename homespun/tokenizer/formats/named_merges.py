"""Merges of tokens in printable characters -> a vocabulary: what ``vocab.bpe`` and Hugging Face share.

In: pairs of names in order of rank, a table name -> public id, and the names of special tokens.
Out: merges in the order of learning, and the public id of each token.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from homespun.common.errors import HomespunError
from homespun.tokenizer.formats.printable import BYTE_OF, CHARACTERS, printable
from homespun.tokenizer.formats.reading import shorten
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.special import END_OF_TEXT
from homespun.tokenizer.vocabulary import Pair, Vocabulary

NamedPair = tuple[str, str]

NO_RANK = 1 << 62
# Trying out one long token takes time quadratic in its length. Published vocabularies stay below 130.
LONGEST_TRIED = 1_000
# What divides documents, in the words of GPT-2 and Qwen, Llama 3, RoBERTa, and others.
NAMES_OF_END = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<|eos|>", "<eos>")


def learn_names(pairs: Sequence[NamedPair]) -> tuple[tuple[Pair, ...], list[str]]:
    """Return the merges in the order of learning, and the names of all tokens in it.

    Merges that no text can ever use, since another one makes the same token earlier, are left out: see
    ``choose_merges``. A merge that uses what no merge before it makes is a ``HomespunError``.
    """
    numbers = dict(BYTE_OF)
    merges: list[Pair] = []
    names = [CHARACTERS[byte] for byte in range(BYTES)]
    chosen = set(choose_merges(pairs))
    made = BYTE_OF.keys() | {left + right for left, right in pairs}
    for rank, (left, right) in enumerate(pairs):
        known = numbers if rank in chosen else made
        for part in (left, right):
            if part not in known:
                raise HomespunError(f"merge {rank + 1} uses {shorten(part)}, which no merge before it makes")
        if rank in chosen:
            numbers[left + right] = BYTES + len(merges)
            merges.append((numbers[left], numbers[right]))
            names.append(left + right)
    return tuple(merges), names


def choose_merges(pairs: Sequence[NamedPair]) -> Iterable[int]:
    """Return the ranks of one merge per token.

    Files that were converted from tiktoken list every pair that joins to a token (Llama 3 has 280,147 merges for
    128,000 tokens). Only one of them can ever be used: the two parts at which merging arrives on the bytes of the
    token alone (the reason is in ``recover_merges.py``). To leave out the others changes nothing.
    """
    ranks = {pair: rank for rank, pair in enumerate(pairs)}
    if len(ranks) < len(pairs):
        twice = next(pair for pair, count in Counter(pairs).items() if count > 1)
        raise HomespunError(f"the merge of {shorten(twice[0])} and {shorten(twice[1])} stands there twice")
    of_name: dict[str, list[int]] = {}
    for rank, (left, right) in enumerate(pairs):
        of_name.setdefault(left + right, []).append(rank)
    chosen = []
    for name, candidates in of_name.items():
        rank = candidates[0]
        if len(candidates) > 1:
            if len(name) > LONGEST_TRIED:
                raise HomespunError(f"several merges make a token of {len(name):,} bytes; that is a mistake")
            rank = ranks.get(last_two(name, ranks), rank)
        chosen.append(rank)
    return chosen


def last_two(name: str, ranks: Mapping[NamedPair, int]) -> NamedPair:
    """Merge within ``name`` by rank until two parts are left; two empty ones if it stops earlier."""
    parts = list(name)
    while len(parts) > 2:
        found = [ranks.get(pair, NO_RANK) for pair in pairwise(parts)]
        lowest = min(found)
        if lowest == NO_RANK:
            return "", ""
        place = found.index(lowest)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]


def ids_of_names(names: Sequence[str], table: Mapping[str, int], special: Collection[str]) -> tuple[int, ...]:
    """Return the public id of each name; names that lack one, or ids that no name explains, are a ``HomespunError``."""
    for place, name in enumerate(names):
        if name not in table:
            what = f"the byte 0x{place:02X}, written" if place < BYTES else "the token"
            raise HomespunError(f"the table of ids lacks {what} {shorten(name)}")
    unknown = table.keys() - set(names) - set(special)
    if unknown:
        raise HomespunError(
            f"the table of ids has {shorten(min(unknown))}, which no merge makes and which is not special"
        )
    return tuple(table[name] for name in names)


def find_end_of_text(special: Mapping[str, int], wanted: str | None) -> str:
    """Return the name that divides documents: the one wanted, or the first usual one there is."""
    for name in NAMES_OF_END if wanted is None else (wanted,):
        if name in special:
            return name
    there = ", ".join(shorten(name) for name in list(special)[:8]) or "none"
    which = (
        "none of the special tokens is known to divide documents" if wanted is None else f"no special token {wanted!r}"
    )
    raise HomespunError(f"{which} (there are: {there}); name one of them with --end-of-text")


def simplify(ids: Sequence[int]) -> tuple[int, ...] | None:
    """Return None where the public ids are those of the order of learning."""
    return None if all(map(int.__eq__, ids, range(len(ids)))) else tuple(ids)


def names_of(vocabulary: Vocabulary) -> list[str]:
    """Return the printable names of the tokens in the order of learning; one that a special token has is an error."""
    names = [printable(raw) for raw in vocabulary.learned_bytes]
    shared = vocabulary.special_tokens.keys() & set(names)
    if shared:
        raise HomespunError(
            f"{shorten(min(shared))} is a special token and also a merge makes it; the format has one name"
        )
    return names


def name_pairs(vocabulary: Vocabulary, names: Sequence[str]) -> list[NamedPair]:
    """Return the merges as pairs of names."""
    return [(names[left], names[right]) for left, right in vocabulary.merges]
