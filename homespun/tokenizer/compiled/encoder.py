"""Text as bytes -> ids, by the kernel of encoding; one ``Encoder`` per thread.

In: a ``Batch`` of documents. Out: NumPy arrays of ids. The pieces seen before are remembered from call to
call, within bounds: text repeats its words, so the longer it goes the less is left to do.
"""

import numpy as np

from homespun.tokenizer.compiled import workspace as field
from homespun.tokenizer.compiled.documents import Batch
from homespun.tokenizer.compiled.machine_code import load_kernel
from homespun.tokenizer.compiled.merge_tables import Array, MergeTables
from homespun.tokenizer.compiled.piece_memory import PieceMemory

# Slots of 32 bytes, half of which are used at most: 1 MB at first, 32 MB in the end.
FIRST_BITS, LAST_BITS = 15, 20
FIRST_ARENA, LAST_ARENA = 1 << 20, 1 << 25
# Bytes read per new piece, below which a full table is emptied instead of enlarged: such text (random bytes have 7,
# English 27 and more) would only fill a larger one too, and a small one stays in the processor's cache.
WORTH_ENLARGING = 12


class Encoder(PieceMemory):
    """Encodes with one split pattern and one vocabulary. Not for two threads at once."""

    def __init__(self, pattern: str, tables: MergeTables) -> None:
        """Load the kernel and start with no pieces."""
        super().__init__(FIRST_BITS, FIRST_ARENA)
        self.kernel = load_kernel(f"encode-{pattern}")
        self.tables = tables
        self.scratch = np.empty(field.SCRATCH_BYTES, np.uint8)
        self.buffers = np.empty(field.BUFFER_BYTES, np.uint8)
        self.collected = np.zeros(field.AHEAD * field.ITEM, np.uint8)
        self.heap = np.empty(0, np.uint8)
        self.read_since = 0
        self.set_addresses()

    def encode(self, batch: Batch) -> tuple[Array, Array]:
        """Encode a batch: all ids (uint32) behind each other, and how many there are after each document (int64)."""
        # One id per byte at most. What is not written to takes no memory, and is cut off in the end.
        out = np.empty(len(batch.raw) + 8, np.uint32)
        borders = np.empty(len(batch.ends), np.int64)
        work = self.work
        batch.hand_to(work)
        work[field.OUT], work[field.OUT_COUNT], work[field.BORDERS] = out.ctypes.data, 0, borders.ctypes.data
        while (status := self.kernel(work.ctypes.data)) != field.DONE:
            if status == field.NEEDS_ROOM:
                self.make_room()
            else:
                self.heap = np.empty(-work[field.HEAP_SIZE], np.uint8)
                work[field.HEAP], work[field.HEAP_SIZE] = self.heap.ctypes.data, len(self.heap)
        if len(self.heap):  # only ever needed for strange texts, and large then
            self.heap = np.empty(0, np.uint8)
            work[field.HEAP] = work[field.HEAP_SIZE] = 0
        self.read_since -= len(batch.raw)
        out.resize(int(work[field.OUT_COUNT]), refcheck=False)
        return out, borders

    def set_addresses(self) -> None:
        """Fill in what stays where it is."""
        tables, work = self.tables, self.work
        work[field.PAIRS], work[field.PAIR_BITS] = tables.pairs.ctypes.data, tables.pair_bits
        work[field.BYTE_PAIRS] = tables.byte_pairs.ctypes.data
        work[field.PUBLIC_IDS] = tables.public_ids.ctypes.data
        work[field.FIRST_SAME] = tables.first_same
        work[field.LENGTHS] = tables.lengths.ctypes.data
        work[field.COLLECTED] = self.collected.ctypes.data
        work[field.SCRATCH], work[field.BUFFERS] = self.scratch.ctypes.data, self.buffers.ctypes.data

    def make_room(self) -> None:
        """Enlarge what is full; at the limit forget everything, for the frequent pieces are soon back."""
        work = self.work
        work[field.WANTS_ROOM] = 0
        table_full = self.is_full()
        place = int(work[field.TEXT] + work[field.PLACE] - work[field.BASE])
        read, self.read_since = place - self.read_since, place
        is_useless = 0 <= read < WORTH_ENLARGING * work[field.TAKEN] // 2
        if is_useless or (self.bits == LAST_BITS if table_full else len(self.arena) == LAST_ARENA):
            self.slots[:] = 0
            work[field.TAKEN] = work[field.ARENA_USED] = 0
        elif table_full:
            self.double_slots()
        else:
            self.double_arena()
