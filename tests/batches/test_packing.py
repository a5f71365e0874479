"""Texts that share rows: each once, no row too full, hardly more rows than must be."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.batches.packing import pack


@given(st.integers(1, 60).flatmap(lambda room: st.tuples(st.just(room), st.lists(st.integers(1, room), max_size=40))))
def test_each_text_is_in_one_row_that_has_room(given_lengths: tuple[int, list[int]]) -> None:
    room, lengths = given_lengths
    rows = pack(lengths, room)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(0 < sum(lengths[number] for number in row) <= room for row in rows)
    # As many as best fit may need (Johnson et al. 1974); the fewest possible are at least those that hold all tokens.
    large = sum(2 * length > room for length in lengths)
    fewest = max(large, math.ceil(sum(lengths) / room))
    assert fewest <= len(rows) <= 1.7 * fewest + 1


def naive(lengths: list[int], room: int) -> list[list[int]]:
    """The same by looking at every row."""
    rows: list[list[int]] = []
    left: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        fitting = [row for row, space in enumerate(left) if space >= lengths[number]]
        if fitting:
            best = min(fitting, key=lambda row: left[row])
            rows[best].append(number)
            left[best] -= lengths[number]
        else:
            rows.append([number])
            left.append(room - lengths[number])
    return rows


@given(st.lists(st.integers(1, 30), max_size=30))
def test_it_is_the_best_fit(lengths: list[int]) -> None:
    filled = sorted(sum(lengths[number] for number in row) for row in pack(lengths, 30))
    assert filled == sorted(sum(lengths[number] for number in row) for row in naive(lengths, 30))


def test_what_is_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="text 1 has 9 tokens, a row 8"):
        pack([3, 9], 8)
    assert pack([], 8) == []
