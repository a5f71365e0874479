"""The words through which Python and the kernel talk: their order in one int64 array. Addresses unless said otherwise.

Imports nothing, for the kernel and its caller both read it.
"""

# The tables, and how many bytes a row of them has.
VECTORS, OUTPUTS, ROW_BYTES = range(3)
# The text: ids (int32), where passages end (int64), which passages to learn (numbers).
IDS, ENDS, FIRST, END = range(3, 7)
# Sampling: what stays (uint32), the alias table (2 uint32 each), how many words there are (a number).
KEEP, DRAW, WORDS = range(7, 10)
# Numbers: how far a window reaches, how many random words, the state of the random numbers.
REACH, NEGATIVES, STATE = range(10, 13)
# The rate (one float32).
RATE = 13
# Memory of one thread: the ids of a passage that stay (int32); addresses of the rows around and of the targets (int64);
# guesses and errors (float32, rows times targets); how the rows should move; the mean of the rows; copies of both.
KEPT, CONTEXTS, TARGETS, ERRORS, MOVES, MEAN, ROW_COPIES, TARGET_COPIES, NEXT_TARGETS = range(14, 23)
FIELDS = 23
