"""Which requests are computed together, so that what they begin with in common is computed once.

In: pairs of token ids, context and continuation. Out: groups of them that cover all, each with the number of tokens
that its rows share.

Rows of a group are filled up to the longest. A group of n rows of up to L tokens that share the first S costs about
S + n (L - S) positions, and a call costs as much as some positions more. Sorted so that equal contexts are neighbours
and lengths are alike, the cheapest way to cut the row of requests is found exactly, by dynamic programming: few-shot
examples that all prompts begin with are then computed once for some dozens of prompts, and a question once for its
choices where it is long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

COST_OF_A_CALL = 64  # positions
POSITIONS_AT_ONCE = 8192  # of all rows of a group; one longer row is a group by itself
MOST_ROWS = 256

Pair = tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Group:
    """``places``: which requests. ``shared``: how many tokens all their contexts begin with, less than any has."""

    places: tuple[int, ...]
    shared: int


def groups_of(requests: Sequence[Pair]) -> list[Group]:
    """The cheapest groups; a shared beginning that saves nothing is not used."""
    order = sorted(range(len(requests)), key=lambda place: sort_key(requests[place]))
    sizes = [len(requests[place][0]) + len(requests[place][1]) - 1 for place in order]
    common = [0, *(shareable(requests[a][0], requests[b][0]) for a, b in pairwise(order))]
    best, begins = [0.0], [0]  # cost of the first n requests, and where the last group of them begins
    for end in range(1, len(order) + 1):
        best.append(float("inf"))
        begins.append(0)
        longest, shared = 0, len(requests[order[end - 1]][0]) - 1
        for begin in range(end - 1, max(-1, end - 1 - MOST_ROWS), -1):
            longest = max(longest, sizes[begin])
            rows = end - begin
            if rows > 1 and rows * longest > POSITIONS_AT_ONCE:
                break
            shared = min(shared, common[begin + 1]) if rows > 1 else shared
            cost = best[begin] + cost_of(rows, longest, shared)
            if cost < best[end]:
                best[end], begins[end] = cost, begin
    groups, end = [], len(order)
    while end:
        begin = begins[end]
        shared = min((common[place] for place in range(begin + 1, end)), default=0)
        groups.append(Group(tuple(order[begin:end]), shared if pays(end - begin, shared) else 0))
        end = begin
    return groups[::-1]


def sort_key(request: Pair) -> tuple[int, Sequence[int], int]:
    """Long contexts with long ones, equal ones side by side, short continuations first."""
    context, continuation = request
    return len(context), context, len(continuation)


def pays(rows: int, shared: int) -> bool:
    """Whether one more call costs less than it saves."""
    return (rows - 1) * shared > COST_OF_A_CALL


def cost_of(rows: int, longest: int, shared: int) -> float:
    """Positions that are computed for a group, and what its calls cost besides."""
    saved = (rows - 1) * shared - COST_OF_A_CALL if pays(rows, shared) else 0
    return COST_OF_A_CALL + rows * longest - saved


def shareable(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens that both contexts begin with; the last of each is kept back, for the first target is read off it."""
    most = min(len(first), len(second)) - 1
    return next((place for place in range(most) if first[place] != second[place]), most)
