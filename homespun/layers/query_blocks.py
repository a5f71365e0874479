"""Into which blocks the queries of a window are cut, so that causal attention leaves out what it would only mask.

A block of queries needs the keys up to its own end. With four blocks five eighths of all pairs are worked out instead
of all. At 256 tokens two blocks are no faster than one (docs/experiments.md), so none is smaller than 128 queries.
Imports no torch: memory is counted by it.
"""

BLOCKS = 4
LEAST_QUERIES = 128


def query_blocks(queries: int) -> list[tuple[int, int]]:
    """``(begin, end)`` of each block, in order."""
    size = max(LEAST_QUERIES, -(-queries // BLOCKS))
    return [(begin, min(begin + size, queries)) for begin in range(0, queries, size)]


def pairs_worked_out(context: int) -> int:
    """Pairs of a query and a key in one window and one head."""
    return sum((end - begin) * end for begin, end in query_blocks(context))
