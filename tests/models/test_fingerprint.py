"""The same weights have the same number, and every other bit another one."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from homespun.models.fingerprint import fingerprint

TENSORS = {"table": torch.arange(12.0).reshape(4, 3), "bias": torch.zeros(3)}


def test_order_and_memory_do_not_matter() -> None:
    again = {"bias": torch.zeros(6)[::2], "table": torch.arange(12.0).reshape(4, 3).T.contiguous().T}
    assert fingerprint(again, {}) == fingerprint(TENSORS, {}) and len(fingerprint(TENSORS, {})) == 64


@given(st.integers(0, 3), st.integers(0, 2), st.integers(0, 31))
def test_one_bit_is_enough(row: int, column: int, bit: int) -> None:
    table = TENSORS["table"].clone()
    table.view(torch.int32)[row, column] ^= -(1 << 31) if bit == 31 else 1 << bit
    assert fingerprint(TENSORS | {"table": table}, {}) != fingerprint(TENSORS, {})
    assert fingerprint(TENSORS | {"table": table}, {"table": (row,)}) == fingerprint(TENSORS, {"table": (row,)})


def test_names_and_shapes_count() -> None:
    found = {
        fingerprint(TENSORS, {}),
        fingerprint({"tables": TENSORS["table"], "bias": TENSORS["bias"]}, {}),
        fingerprint(TENSORS | {"table": TENSORS["table"].reshape(3, 4)}, {}),
        fingerprint({"table": TENSORS["table"]}, {}),
        fingerprint(TENSORS, {"table": (1,)}),
    }
    assert len(found) == 5


def test_rows_that_a_base_lacks_do_not_matter() -> None:
    longer = TENSORS | {"table": torch.cat([TENSORS["table"], torch.ones(2, 3)])}
    assert fingerprint(longer, {"table": (5, 4)}) == fingerprint(TENSORS, {"table": (5, 4)}) == fingerprint(TENSORS, {})
