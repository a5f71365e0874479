"""One piece -> ids: merge the adjacent pair that was learned first, until none is left.

In: the bytes of a piece and the rank of each pair. Out: ids.

Merging by rank gives what applying all merges in order gives (``naive.py``), because a merge of rank r makes a token
that only merges of higher rank can use: nothing that was passed over comes up again.
"""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

Pair = tuple[int, int]

# Bytes. The simple loop takes time quadratic in the length; about here the other one overtakes it.
LONG_PIECE = 96
NO_RANK = 1 << 62
GONE = -1


def token_of_pairs(merges: Sequence[Pair]) -> dict[Pair, int]:
    """Map each pair to the token it makes; the smaller the token, the earlier it was learned."""
    return dict(zip(merges, range(256, 256 + len(merges)), strict=True))


def encode_piece(piece: bytes, tokens: Mapping[Pair, int]) -> list[int]:
    """Encode one piece; takes time about linear in its length, even for a megabyte of one letter."""
    return encode_short(piece, tokens) if len(piece) < LONG_PIECE else encode_long(piece, tokens)


def encode_short(piece: bytes, tokens: Mapping[Pair, int]) -> list[int]:
    """Look at all pairs, merge the first-learned one wherever it stands, and look again."""
    ids = list(piece)
    while len(ids) > 1:
        token, left, right = NO_RANK, -1, -1
        for pair in pairwise(ids):
            candidate = tokens.get(pair, NO_RANK)
            if candidate < token:
                token, left, right = candidate, *pair
        if token == NO_RANK:
            break
        place = 0
        while place < len(ids) - 1:
            if ids[place] == left and ids[place + 1] == right:
                ids[place : place + 2] = [token]
            place += 1
    return ids


def encode_long(piece: bytes, tokens: Mapping[Pair, int]) -> list[int]:
    """Encode with a linked list, and for each possible token the places where it could be made.

    A heap gives the tokens in the order in which they were learned. Every merge makes the list shorter by one and adds
    at most two places, so that all merges of a piece of n bytes take O(n log n) at worst. A place may be out of date
    when its turn comes: the two neighbours are compared again. Places of one token stand in ascending order, for they
    are all found during one pass from left to right, that which makes the younger of the two neighbours.
    """
    ids = list(piece)
    size = len(ids)
    following = list(range(1, size + 1))
    preceding = list(range(-1, size))
    ids.append(GONE)  # a neighbour for the last one, and by index -1 for the first one
    places: dict[int, list[int]] = {}
    for place, pair in enumerate(pairwise(piece)):
        token = tokens.get(pair)
        if token is not None:
            places.setdefault(token, []).append(place)
    heap = list(places)
    heapify(heap)
    while heap:
        token = heappop(heap)
        for place in places.pop(token):
            second = following[place]
            if tokens.get((ids[place], ids[second])) != token:
                continue
            after, before = following[second], preceding[place]
            ids[place], ids[second] = token, GONE
            following[place], preceding[after] = after, place
            for pair, start in (((ids[before], token), before), ((token, ids[after]), place)):
                candidate = tokens.get(pair)
                if candidate is None:
                    continue
                if candidate not in places:
                    places[candidate] = []
                    heappush(heap, candidate)
                places[candidate].append(start)
    return [token for token in ids if token != GONE]
