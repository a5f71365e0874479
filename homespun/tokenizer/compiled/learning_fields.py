"""The words through which Python and the kernel of learning talk (compare workspace.py). Imports nothing."""

# PAIRS: the table of pairs. SEEN: the places of each pair behind each other (int32). FRESH: what a pass has seen, a
# place and the number of its pair among those that the pass made (two int32).
TOKENS, PIECE_OF, COUNTS, LENGTHS = range(4)
PAIRS, PAIR_BITS, PAIRS_TAKEN = range(4, 7)
SEEN, SEEN_USED, FRESH = range(7, 10)
HEAP, HEAP_USED, HEAP_SIZE = range(10, 13)
# What was learned: two int32 each; how many there are, how many are wanted, and the least count of a pair.
MERGES, LEARNED, WANTED, LEAST, BASE = range(13, 18)
# The entries of the pairs that a pass made (int64). PREPARED: whether all pairs have been counted once.
CREATED, PLACES, PREPARED = 18, 19, 20
# The first so many of MERGES are given, not learned: a vocabulary that is continued.
GIVEN = 21
LEARN_FIELDS = 22

# An entry of the table of pairs: key, count, where its places begin in SEEN and how many they are; during the pass that
# makes a pair, its number instead. The free bytes make it half a cache line.
ENTRY, ENTRY_COUNT, ENTRY_FIRST, ENTRY_LINKS = 32, 8, 16, 20
