"""Lengths of texts -> which of them share a row: as few rows as possible, or nearly.

Best fit, the longest text first: each goes into the row in which it leaves the least room. That needs at most 11/9 of
the fewest possible rows and 4 more (Johnson et al. 1974), and with many short texts fills nearly all of them.
"""

from collections.abc import Sequence

import numpy as np


def pack(lengths: Sequence[int] | np.ndarray, room: int) -> list[list[int]]:
    """The numbers of the texts in each row, of which each holds ``room`` tokens; ``ValueError`` for one that is longer.

    Which rows have so much room left, the bits of one whole number say; so the search for the best is one operation.
    """
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    rows: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    bits = 0
    for number in order:
        length = int(lengths[number])
        if length > room:
            raise ValueError(f"text {number} has {length} tokens, a row {room}")
        fitting = bits >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            row = with_room[left].pop()
            if not with_room[left]:
                bits &= ~(1 << left)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(number)
        with_room.setdefault(left - length, []).append(row)
        bits |= 1 << (left - length)
    return rows
