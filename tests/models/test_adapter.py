"""Low-rank differences against plain sums, and those that do not fit."""

from dataclasses import replace

import pytest
import torch

from homespun.common.errors import HomespunError
from homespun.models.adapter import Adapter, Difference, merge


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


TENSORS = {"fused.weight": random(12, 5), "other.weight": random(4, 6), "norm.weight": random(6)}
PART = Difference("fused.weight", 4, random(3, 2), random(2, 5), 0.5)


def test_sums_as_loops_make_them() -> None:
    again = Difference("fused.weight", 5, random(7, 1), random(1, 5), -2.0)
    whole = Difference("other.weight", 0, random(4, 3), random(3, 6), 1.0)
    adapter = Adapter((PART, again, whole))
    heard: list[int] = []
    merged = merge(TENSORS, adapter, heard.append)
    wanted = {name: value.clone() for name, value in TENSORS.items()}
    for one in adapter.differences:
        for row in range(len(one.up)):
            for column in range(one.down.shape[1]):
                inner = sum(float(one.up[row, k] * one.down[k, column]) for k in range(one.rank))
                wanted[one.tensor][one.first_row + row, column] += one.scale * inner
    for name, value in wanted.items():
        torch.testing.assert_close(merged[name], value)
    assert merged["norm.weight"] is TENSORS["norm.weight"]
    assert heard == [1, 1, 1]
    assert adapter.parameters == (6 + 10) + (7 + 5) + (12 + 18)


def test_what_was_given_stays_as_it_was() -> None:
    before = {name: value.clone() for name, value in TENSORS.items()}
    merge(TENSORS, Adapter((PART, PART)))
    assert all(torch.equal(TENSORS[name], value) for name, value in before.items())


def test_half_numbers_are_added_in_float32() -> None:
    tensors = {"fused.weight": TENSORS["fused.weight"].bfloat16()}
    part = replace(PART, up=PART.up.bfloat16(), down=PART.down.bfloat16())
    merged = merge(tensors, Adapter((part,)))["fused.weight"]
    exact = tensors["fused.weight"].float()
    exact[4:7] += 0.5 * part.up.float() @ part.down.float()
    assert merged.dtype == torch.bfloat16 and torch.equal(merged, exact.bfloat16())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tensor": "absent.weight"}, "the adapter changes absent.weight, which is no matrix of this model"),
        ({"tensor": "norm.weight"}, "the adapter changes norm.weight, which is no matrix of this model"),
        ({"tensor": "other.weight"}, r"other.weight\[4:7\] of 5 columns; the model's has shape \(4, 6\)"),
        ({"first_row": 10}, r"fused.weight\[10:13\] of 5 columns; the model's has shape \(12, 5\)"),
        ({"first_row": -1}, r"fused.weight\[-1:2\]"),
        ({"down": random(2, 6)}, r"of 6 columns; the model's has shape \(12, 5\)"),
        ({"down": random(3, 5)}, "two matrices for fused.weight have the ranks 2 and 3"),
        ({"scale": float("nan")}, "scale for fused.weight is nan"),
        (
            {"up": torch.full((3, 2), 1e38), "down": torch.full((2, 5), 1e38)},
            "fused.weight would have numbers that are",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(changes: dict[str, object], says: str) -> None:
    with pytest.raises(HomespunError, match=says) as raised:
        merge(TENSORS, Adapter((replace(PART, **changes),)))  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
