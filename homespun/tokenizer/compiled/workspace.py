"""The words through which Python and a kernel talk: their order in one int64 array.

In: nothing. Out: names for the places. A kernel takes one argument, the address of its workspace, and returns a
status. Everything it needs between two calls stands there too, so that it can stop where it needs more room.
Imports nothing, for kernels and their callers both read it.
"""

# The document that is being read, how far, and RUN_END: the end of the run of digits that the next piece stands in.
TEXT, SIZE, PLACE, RUN_END = range(4)
# The Unicode table, and the table of pieces (see piece_table.py) with how many slots are taken and may be.
UNICODE, SLOTS, BITS, TAKEN, MOST_TAKEN = range(4, 9)
# The bytes and ids of pieces too long for a slot.
ARENA, ARENA_USED, ARENA_SIZE = range(9, 12)
# Encoding: where ids go and how many are there; the tables of merges.
OUT, OUT_COUNT, PAIRS, PAIR_BITS, BYTE_PAIRS, PUBLIC_IDS, LENGTHS = range(12, 19)
# Memory for one piece: SCRATCH and BUFFERS of fixed size, HEAP as large as HEAP_SIZE says.
SCRATCH, BUFFERS, HEAP, HEAP_SIZE, WANTS_ROOM = range(19, 24)
# Documents behind each other from BASE on: where each ends (ENDS, int64), how many, which one is being read.
# Encoding notes in BORDERS (int64) how many ids there are after each.
BASE, ENDS, DOCUMENTS, DOCUMENT, BORDERS = range(24, 29)
# Room for AHEAD pieces, of ITEM bytes each, that were found but not yet looked up.
COLLECTED = 29
# From this token on the public ids are the tokens themselves.
FIRST_SAME = 30
FIELDS = 31
AHEAD, ITEM = 32, 40

# Bytes of a slot of the table of pieces.
SLOT = 32
# In the second word of a slot: the piece is not in the slot but in the arena.
LONG = 1 << 62
# Where in a slot a table of counts has its count.
COUNT = 24

# What a kernel returns.
DONE = 0
NEEDS_ROOM = 1  # the table of pieces or the arena is full; go on with larger ones, or with empty ones
NEEDS_HEAP = 2  # a piece needs a HEAP of HEAP_SIZE bytes

# Bytes. Longer pieces are encoded chunk by chunk; what is longer than the second is not remembered either.
LONGEST_WHOLE = 128
LONGEST_REMEMBERED = 512
CHUNK = 64
# A repair at the border of two chunks that would take more than this gives up for the slower general way.
LONGEST_REPAIR = 1024
SCRATCH_BYTES = 16 * LONGEST_REPAIR
BUFFER_BYTES = 8 * LONGEST_REPAIR
# Bytes of HEAP for each byte of a piece: three int32 of the linked list, and two entries of the heap.
HEAP_PER_BYTE = 28
# The largest number of tokens: a pair and its token share one 64-bit word.
TOKEN_BITS = 20
