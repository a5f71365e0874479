"""Byte-pair encoding as the book explains it: the shortest trainer and encoder that are right.

In: counted pieces. Out: merges; and piece -> ids. Nothing here is fast: every merge counts all pairs again.
It is the oracle: ``plain_training.py`` and ``encoding.py`` must give exactly what this file gives.

Source: Sennrich, Haddow and Birch 2016, *Neural Machine Translation of Rare Words with Subword Units*, algorithm 1;
over bytes since GPT-2 (2019); compare Karpathy's minbpe. Left out: splitting, special tokens, files.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]


def learn_merges_naively(piece_counts: Mapping[bytes, int], number: int, minimum_frequency: int = 2) -> list[Pair]:
    """Learn up to ``number`` merges; the i-th makes the token 256 + i.

    Each time the most frequent pair is merged, and of equally frequent ones the one with the smallest ids.
    Stops when no pair is seen ``minimum_frequency`` times.
    """
    sequences = [(list(piece), count) for piece, count in piece_counts.items()]
    merges: list[Pair] = []
    while len(merges) < number:
        pair_counts: Counter[Pair] = Counter()
        for ids, count in sequences:
            for pair in pairwise(ids):
                pair_counts[pair] += count
        if not pair_counts:
            break
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))
        if pair_counts[best] < minimum_frequency:
            break
        token = 256 + len(merges)
        merges.append(best)
        sequences = [(merge(ids, best, token), count) for ids, count in sequences]
    return merges


def encode_naively(piece: bytes, merges: Sequence[Pair]) -> list[int]:
    """Encode one piece: apply all merges in the order in which they were learned."""
    ids = list(piece)
    for rank, pair in enumerate(merges):
        ids = merge(ids, pair, 256 + rank)
    return ids


def merge(ids: list[int], pair: Pair, token: int) -> list[int]:
    """Replace ``pair`` by ``token`` wherever it stands, from left to right."""
    merged = []
    place = 0
    while place < len(ids):
        if tuple(ids[place : place + 2]) == pair:
            merged.append(token)
            place += 2
        else:
            merged.append(ids[place])
            place += 1
    return merged
