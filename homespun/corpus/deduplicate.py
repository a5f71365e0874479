"""The second copy goes: exact duplicates by content id, after normalization.

In: content ids. Out: for each whether it is new. What this leaves out: near duplicates (MinHash).

Memory: the first 8 bytes of every id, in an open-addressing hash table (Knuth, The Art of Computer
Programming, volume 3, section 6.4) over a flat array: 12 to 24 bytes per document, and half as much again
while the table grows. A Python ``set`` of the same integers takes 70 to 100. Two different documents
share 8 bytes with a probability of n^2 / 2^65: one in a thousand that any pair does, at 190 million documents.
"""

from array import array

EMPTY = 0
FIRST_SLOTS = 1 << 12
FULLEST = 2 / 3


class SeenIds:
    """A set of 64-bit digests; ``add`` says whether the id is new."""

    def __init__(self) -> None:
        self.slots = array("Q", bytes(8 * FIRST_SLOTS))
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def add(self, identifier: str) -> bool:
        """Remember a hexadecimal content id; True when it was not known yet."""
        # Zero marks an empty slot; the one digest that is zero counts as the digest one.
        digest = int(identifier[:16], 16) or 1
        slot = self._find(digest)
        if self.slots[slot] == digest:
            return False
        self.slots[slot] = digest
        self.count += 1
        if self.count > FULLEST * len(self.slots):
            self._grow()
        return True

    def _find(self, digest: int) -> int:
        """The slot that holds ``digest``, or the empty one where it belongs (linear probing)."""
        slots, mask = self.slots, len(self.slots) - 1
        slot = digest & mask
        while slots[slot] not in (EMPTY, digest):
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        old = self.slots
        self.slots = array("Q", bytes(16 * len(old)))
        for digest in old:
            if digest != EMPTY:
                self.slots[self._find(digest)] = digest
