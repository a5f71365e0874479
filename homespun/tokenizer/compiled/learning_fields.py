"""The words through which Python and the kernel of learning talk (compare workspace.py). Imports nothing."""

# PAIRS: the table of pairs. CHAIN: two int32 per seen place, the place and the next link.
TOKENS, PIECE_OF, COUNTS, LENGTHS = range(4)
PAIRS, PAIR_BITS, PAIRS_TAKEN = range(4, 7)
CHAIN, CHAIN_USED = 7, 8
HEAP, HEAP_USED, HEAP_SIZE = range(10, 13)
# What was learned: two int32 each; how many there are, how many are wanted, and the least count of a pair.
MERGES, LEARNED, WANTED, LEAST, BASE = range(13, 18)
# The pairs that a pass made; and how far the first count over all places has come.
CREATED, COUNTED, PLACES, HEAP_FILLED = range(18, 22)
# The first so many of MERGES are given, not learned: a vocabulary that is continued.
GIVEN = 22
LEARN_FIELDS = 23

# An entry of the table of pairs: key, count, first and last link; and the free bytes that keep it in one cache line.
ENTRY, ENTRY_COUNT, ENTRY_FIRST, ENTRY_LAST = 32, 8, 16, 20
