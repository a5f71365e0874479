"""The memory of a table of pieces: its slots and its arena, and how they grow.

In: a workspace. Out: ``PieceMemory``, which counting and encoding build on (see ``piece_table.py`` for the layout).
"""

import numpy as np

from homespun.tokenizer.compiled import workspace as field
from homespun.tokenizer.compiled.documents import Array
from homespun.tokenizer.compiled.machine_code import load_kernel
from homespun.tokenizer.compiled.merge_tables import unicode_table


class PieceMemory:
    """A workspace with a table of pieces; the arrays live as long as it does."""

    def __init__(self, bits: int, arena: int) -> None:
        """Start with ``2 ** bits`` free slots and an arena of so many bytes."""
        self.work = np.zeros(field.FIELDS, np.int64)
        self.unicode_table = unicode_table()
        self.work[field.UNICODE] = self.unicode_table.ctypes.data
        self.set_slots(np.zeros((1 << bits) * field.SLOT, np.uint8), bits)
        self.set_arena(np.empty(arena, np.uint8))

    def set_slots(self, slots: Array, bits: int) -> None:
        """Use a table of pieces; half of its slots may be taken."""
        self.slots, self.bits = slots, bits
        self.work[field.SLOTS], self.work[field.BITS] = slots.ctypes.data, bits
        self.work[field.MOST_TAKEN] = 1 << bits - 1

    def set_arena(self, arena: Array) -> None:
        """Use an arena."""
        self.arena = arena
        self.work[field.ARENA], self.work[field.ARENA_SIZE] = arena.ctypes.data, len(arena)

    def is_full(self) -> bool:
        """Tell whether every slot that may be taken is."""
        return bool(self.work[field.TAKEN] >= self.work[field.MOST_TAKEN])

    def double_slots(self) -> None:
        """Move all pieces into a table of twice the size."""
        old, old_bits = self.slots, self.bits
        self.set_slots(np.zeros((1 << old_bits + 1) * field.SLOT, np.uint8), old_bits + 1)
        load_kernel("rehash")(old.ctypes.data, old_bits, self.slots.ctypes.data, self.bits)

    def double_arena(self) -> None:
        """Move the arena's bytes into one of twice the size."""
        larger = np.empty(2 * len(self.arena), np.uint8)
        larger[: self.work[field.ARENA_USED]] = self.arena[: self.work[field.ARENA_USED]]
        self.set_arena(larger)
