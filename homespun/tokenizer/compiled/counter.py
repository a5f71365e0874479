"""Documents -> how often each distinct piece occurs, by the kernel of counting, on several threads.

In: texts. Out: ``CountedPieces``, a hash table in two arrays. Memory is bounded: a table that would grow beyond
``LAST_BITS``, or an arena beyond ``LAST_ARENA``, forgets the rarest pieces, and says how many occurrences that were.
"""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import numpy as np

from homespun.common.progress import Advance, ignore
from homespun.tokenizer.compiled import workspace as field
from homespun.tokenizer.compiled.documents import Array, Batch, in_batches, make_batch
from homespun.tokenizer.compiled.machine_code import load_kernel
from homespun.tokenizer.compiled.piece_memory import PieceMemory

# Slots of 32 bytes, half of which are used at most: 2 MB at first; 256 MB and 4 million pieces per thread in the end.
FIRST_BITS, LAST_BITS = 16, 23
FIRST_ARENA, LAST_ARENA = 1 << 20, 1 << 28
# So few pieces are not dropped, however long: an arena for them may be larger.
FEW = 64
BATCH_CHARACTERS = 1 << 20


class PieceCounter(PieceMemory):
    """Counts on one thread."""

    last_arena = LAST_ARENA

    def __init__(self, pattern: str, last_bits: int = LAST_BITS) -> None:
        """Load the kernel and start with no pieces."""
        super().__init__(FIRST_BITS, FIRST_ARENA)
        self.kernel = load_kernel(f"count-{pattern}")
        self.last_bits = last_bits
        self.dropped = 0

    def count(self, batch: Batch) -> int:
        """Count the pieces of a batch; return its bytes."""
        batch.hand_to(self.work)
        while self.kernel(self.work.ctypes.data) != field.DONE:
            self.make_room()
        return len(batch.raw)

    def add(self, other: "PieceCounter", least: int = 1) -> None:
        """Add the counts of another one, those from ``least`` on."""
        self.work[field.PLACE] = 0
        while load_kernel("add_counts")(
            self.work.ctypes.data, other.slots.ctypes.data, other.bits, other.arena.ctypes.data, least
        ):
            self.make_room()
        self.dropped += other.dropped

    def clusters(self) -> dict[bytes, int]:
        """Return how often each letter with marks behind it occurs in the pieces (see ``clusters.py``)."""
        kernel = load_kernel("count_clusters")
        for larger in count():
            found = PieceMemory(FIRST_BITS + larger, FIRST_ARENA << larger)
            if kernel(found.work.ctypes.data, self.slots.ctypes.data, self.bits, self.arena.ctypes.data) == field.DONE:
                break
        return counted_pieces(found)

    def counts(self) -> Array:
        """Return the counts, one per taken slot (int64)."""
        words = self.slots.view(np.int64).reshape(-1, field.SLOT // 8)
        return words[words[:, 1] != 0, field.COUNT // 8]

    def make_room(self) -> None:
        """Enlarge what is full; at the limit drop the rarest pieces."""
        may_grow = len(self.arena) < self.last_arena or self.work[field.TAKEN] < FEW
        if not self.is_full() and may_grow:
            self.double_arena()
        elif self.is_full() and self.bits < self.last_bits:
            self.double_slots()
        else:
            self.drop_rarest()

    def drop_rarest(self) -> None:
        """Keep at most the more frequent half of the pieces."""
        counts = self.counts()
        least = int(np.partition(counts, len(counts) // 2)[len(counts) // 2]) + 1
        lost = int(counts[counts < least].sum())
        progress = [int(self.work[name]) for name in (field.PLACE, field.RUN_END)]
        old = PieceCounter.__new__(PieceCounter)
        old.slots, old.bits, old.arena, old.dropped = self.slots, self.bits, self.arena, lost
        self.work[field.TAKEN] = self.work[field.ARENA_USED] = 0
        self.set_slots(np.zeros((1 << self.bits) * field.SLOT, np.uint8), self.bits)
        self.set_arena(np.empty(len(self.arena), np.uint8))
        self.add(old, least)
        self.work[field.PLACE], self.work[field.RUN_END] = progress


def counted_pieces(memory: PieceMemory) -> dict[bytes, int]:
    """Return all pieces and their counts as Python objects; for tables that are small."""
    words = memory.slots.view(np.int64).reshape(-1, field.SLOT // 8)
    rows = memory.slots.reshape(-1, field.SLOT)
    pieces = {}
    for slot in np.flatnonzero(words[:, 1]):
        high = int(words[slot, 1])
        if high >= field.LONG:
            first = int(rows[slot, 16:20].view(np.uint32)[0])
            raw = memory.arena[first : first + (high & ~field.LONG)].tobytes()
        else:
            raw = rows[slot, : high >> 56].tobytes()
        pieces[raw] = int(words[slot, field.COUNT // 8])
    return pieces


def count_pieces_compiled(
    texts: Iterable[str], pattern: str, threads: int, advance: Advance = ignore, last_bits: int = LAST_BITS
) -> tuple[PieceCounter, int]:
    """Count the pieces of all texts; return the counter and the number of bytes. ``advance`` is told bytes.

    Batches go to the threads in turn, so that what is dropped for want of room does not depend on their speed.
    """
    counters = [PieceCounter(pattern, last_bits) for _ in range(threads)]
    waiting: list[Future[int] | None] = [None] * threads
    total = 0
    executors = [ThreadPoolExecutor(1) for _ in counters]
    try:
        for number, texts_of_batch in enumerate(in_batches(texts, BATCH_CHARACTERS)):
            turn = number % threads
            before = waiting[turn]
            if before is not None:
                size = before.result()
                total += size
                advance(size)
            batch = make_batch(texts_of_batch)
            waiting[turn] = executors[turn].submit(counters[turn].count, batch)
        for last in waiting:
            if last is not None:
                total += last.result()
    finally:
        for executor in executors:
            executor.shutdown(cancel_futures=True)
    first = counters[0]
    for other in counters[1:]:
        first.add(other)
    return first, total
