"""Counted pieces -> merges, by the kernel of learning.

In: a ``PieceCounter``. Out: merges, those of ``naive.py`` exactly.
"""

from collections.abc import Sequence

import numpy as np

from homespun.common.progress import Advance, ignore
from homespun.tokenizer.compiled import learning_fields as field
from homespun.tokenizer.compiled.counter import PieceCounter
from homespun.tokenizer.compiled.machine_code import load_kernel
from homespun.tokenizer.compiled.workspace import DONE, LONG, SLOT
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.vocabulary import Pair

FIRST_PAIR_BITS = 14


def most_pairs(bits: int) -> int:
    """Return how many entries a table of pairs may have: three quarters of its size."""
    return 3 * (1 << bits - 2)


class Learner:
    """The state of learning: arrays that the kernel works on, enlarged when they are full."""

    def __init__(self, counter: PieceCounter, number: int, least: int, given: Sequence[Pair] = ()) -> None:
        """Lay out the pieces. ``number`` counts the ``given`` merges too, which come first."""
        self.work = np.zeros(field.LEARN_FIELDS, np.int64)
        self.lay_out(counter)
        self.lengths = np.ones(BYTES + number, np.int32)
        self.merges = np.zeros((number, 2), np.int32)
        self.merges[: len(given)] = np.array(given, np.int32).reshape(-1, 2)
        # A pass makes at most two pairs with each token; the first one counts the pairs of bytes.
        self.created = np.empty(max(BYTES * BYTES, 2 * (BYTES + number) + 2), np.int64)
        self.set(field.LENGTHS, self.lengths)
        self.set(field.MERGES, self.merges)
        self.set(field.CREATED, self.created)
        self.work[field.WANTED], self.work[field.LEAST], self.work[field.BASE] = number, least, BYTES
        self.work[field.GIVEN] = len(given)
        places = int(self.work[field.PLACES])
        # One place per pair of the beginning, and two per merge, each of which takes a token away. Natural text needs
        # half of that. What is never written to takes no memory.
        self.seen = np.empty(3 * places, np.int32)
        self.set(field.SEEN, self.seen)
        self.fresh = np.empty((places, 2), np.int32)
        self.set(field.FRESH, self.fresh)
        self.set_pairs(max(FIRST_PAIR_BITS, (2 * len(self.created)).bit_length()))
        self.set_heap(np.empty((len(self.created), 2), np.int64))

    def lay_out(self, counter: PieceCounter) -> None:
        """Put the pieces of two bytes and more behind each other."""
        keys = counter.slots.view(np.int64).reshape(-1, SLOT // 8)[:, 1]
        keys = keys[keys != 0]
        sizes = np.where(keys >= LONG, keys & ~LONG, keys >> 56)
        sizes = sizes[sizes >= 2]
        places = int(sizes.sum()) + len(sizes) + 1
        self.tokens = np.empty(places, np.int32)
        self.piece_of = np.empty(places, np.int32)
        self.counts = np.empty(len(sizes), np.int64)
        load_kernel("lay_out")(
            self.tokens.ctypes.data,
            self.piece_of.ctypes.data,
            self.counts.ctypes.data,
            counter.slots.ctypes.data,
            counter.bits,
            counter.arena.ctypes.data,
        )
        self.set(field.TOKENS, self.tokens)
        self.set(field.PIECE_OF, self.piece_of)
        self.set(field.COUNTS, self.counts)
        self.work[field.PLACES] = places

    def learn(self, advance: Advance = ignore) -> list[Pair]:
        """Return all merges; ``advance`` is told how many were made."""
        kernel, work = load_kernel("learn"), self.work
        while work[field.LEARNED] < work[field.WANTED]:
            before = int(work[field.LEARNED])
            if kernel(work.ctypes.data) != DONE:
                self.make_room()
            advance(int(work[field.LEARNED]) - before)
        return [(left, right) for left, right in self.merges[: work[field.LEARNED]].tolist()]

    def make_room(self) -> None:
        """Enlarge the table of pairs or the heap, whichever may be full."""
        work = self.work
        if work[field.PAIRS_TAKEN] + len(self.created) > most_pairs(int(work[field.PAIR_BITS])):
            self.move_pairs()
        else:
            self.set_heap(np.concatenate([self.heap, np.empty_like(self.heap)]))

    def move_pairs(self) -> None:
        """Move the pairs that still matter into a table of the same size, or of twice that where they are many."""
        old, old_bits = self.pairs, int(self.work[field.PAIR_BITS])
        least = 1 if self.work[field.LEARNED] < self.work[field.GIVEN] else int(self.work[field.LEAST])
        kept = int((old.view(np.int64).reshape(-1, field.ENTRY // 8)[:, 1] >= least).sum())
        self.set_pairs(old_bits + (2 * kept + len(self.created) > most_pairs(old_bits)))
        self.work[field.PAIRS_TAKEN] = load_kernel("move_pairs")(
            old.ctypes.data,
            old_bits,
            self.pairs.ctypes.data,
            int(self.work[field.PAIR_BITS]),
            least,
        )

    def set_pairs(self, bits: int) -> None:
        """Use a new, empty table of pairs; every byte of a free entry is 255."""
        self.pairs = np.full((1 << bits) * field.ENTRY, 255, np.uint8)
        self.set(field.PAIRS, self.pairs)
        self.work[field.PAIR_BITS], self.work[field.PAIRS_TAKEN] = bits, 0

    def set_heap(self, heap: np.ndarray) -> None:
        """Use a heap."""
        self.heap = heap
        self.set(field.HEAP, heap)
        self.work[field.HEAP_SIZE] = len(heap)

    def set(self, name: int, array: np.ndarray) -> None:
        """Write an array's address into the workspace."""
        self.work[name] = array.ctypes.data
