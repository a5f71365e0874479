"""Numbers in few bits: against a naive version, the paper's own values, and bounds of what is lost."""

from bisect import bisect_left
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.layers.few_bits import BLOCK, FEW_BITS, NF4, SCALES_BLOCK, mean_of

EVERY = pytest.mark.parametrize("bits", FEW_BITS)
WIDEST_GAP = max(after - before for before, after in pairwise(NF4))


def matrix(rows: int, columns: int, seed: int = 1, size: float = 0.02) -> torch.Tensor:
    return size * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def there_and_back(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    form = FEW_BITS[bits]
    return form.unpack(form.pack(numbers), numbers.shape)


def naive_int8(block: list[float]) -> list[float]:
    scale = max(map(abs, block))
    return [round(127 / scale * x) * scale / 127 if scale else 0.0 for x in block]


def naive_nf4(block: list[float], scale_again: float) -> list[float]:
    scale = max(map(abs, block))
    return [min(NF4, key=lambda level: abs(level - x / scale)) * scale_again if scale else 0.0 for x in block]


def fp8(x: float) -> float:
    """The nearest of the numbers with three bits behind the first, whose exponents begin at -6; ties to the even."""
    values = [0.0] + [mantissa / 8 * 2.0**-6 for mantissa in range(1, 8)]
    values += [(1 + mantissa / 8) * 2.0**exponent for exponent in range(-6, 9) for mantissa in range(8)]
    values = [value for value in values if value <= 448]
    place = bisect_left(values, abs(x))
    near = values[max(0, place - 1) : place + 1]
    best = min(near, key=lambda value: (abs(value - abs(x)), values.index(value) % 2))
    return best if x >= 0 else -best


def naive_scales(scales: list[float]) -> list[float]:
    mean = sum(scales) / len(scales)
    found = []
    for begin in range(0, len(scales), SCALES_BLOCK):
        centred = [scale - mean for scale in scales[begin : begin + SCALES_BLOCK]]
        largest = max(map(abs, centred)) or 1.0
        found += [fp8(448 * one / largest) * largest / 448 + mean for one in centred]
    return found


@pytest.mark.parametrize("shape", [(3, 64), (5, 37), (1, 1), (300, 61)])
def test_int8_is_the_naive_one(shape: tuple[int, int]) -> None:
    numbers = matrix(*shape)
    flat = numbers.flatten().tolist()
    wanted = [x for begin in range(0, len(flat), BLOCK) for x in naive_int8(flat[begin : begin + BLOCK])]
    torch.testing.assert_close(there_and_back(numbers, 8), torch.tensor(wanted).view(shape), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("shape", [(3, 64), (5, 37), (1, 1), (300, 61)])
def test_nf4_is_the_naive_one(shape: tuple[int, int]) -> None:
    numbers = matrix(*shape)
    flat = numbers.flatten().tolist()
    blocks = [flat[begin : begin + BLOCK] for begin in range(0, len(flat), BLOCK)]
    scales = naive_scales([max(map(abs, block)) for block in blocks])
    wanted = [x for block, scale in zip(blocks, scales, strict=True) for x in naive_nf4(block, scale)]
    torch.testing.assert_close(there_and_back(numbers, 4), torch.tensor(wanted).view(shape), rtol=1e-5, atol=1e-8)


def test_the_levels_are_quantiles_of_the_normal_distribution() -> None:
    """QLoRA, section 3: eight quantiles below zero and nine above, that share the zero; the largest is 1."""
    outermost = (31 / 32 + 29 / 30) / 2  # of the probability: in the midst of the last of 16, and of 15
    quantile = NormalDist().inv_cdf

    def levels(count: int) -> list[float]:
        return [quantile(outermost + (0.5 - outermost) * number / (count - 1)) for number in range(count - 1)]

    wanted = sorted([*(-x for x in levels(8)), 0.0, *levels(9)])
    assert len(NF4) == 16 and list(NF4) == sorted(NF4) and NF4[7] == 0.0
    assert list(NF4) == pytest.approx([x / wanted[-1] for x in wanted], abs=1e-4)


@EVERY
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_number_is_further_off_than_half_a_step(bits: int, data: Any) -> None:
    rows, columns = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 70))
    size = data.draw(st.sampled_from((1e-6, 0.02, 1.0, 1e4)))
    numbers = matrix(rows, columns, data.draw(st.integers(0, 99)), size)
    numbers[torch.rand(rows, columns, generator=torch.Generator().manual_seed(3)) < data.draw(st.floats(0, 1))] = 0.0
    found = there_and_back(numbers, bits)
    assert found.shape == numbers.shape and found.dtype == torch.float32 and found.is_contiguous()
    blocks = torch.nn.functional.pad(numbers.flatten(), (0, -numbers.numel() % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(1, keepdim=True)
    bound = scales / 127 / 2
    if bits == 4:  # half the widest gap; and scales are off by a sixteenth of how far they are from their mean, at most
        off = (scales - scales.mean()).abs() / 16 + (scales - scales.mean()).abs().amax() * 2.0**-10 / 448
        bound = scales * WIDEST_GAP / 2 + off
    error = torch.nn.functional.pad((found - numbers).flatten(), (0, -numbers.numel() % BLOCK)).view(-1, BLOCK).abs()
    assert bool((error <= bound * (1 + 1e-4)).all())
    assert bool((found[numbers == 0] == 0).all())


@EVERY
def test_what_is_held_is_as_small_as_is_said(bits: int) -> None:
    numbers = matrix(256, 512)
    held = 8 * sum(tensor.nbytes for tensor in FEW_BITS[bits].pack(numbers)) / numbers.numel()
    assert held == pytest.approx({8: 8.5, 4: 4.127}[bits], abs=1e-3)
    assert FEW_BITS[bits].pack(numbers)[0].dtype == torch.uint8


def test_four_bits_lose_more_than_eight_and_less_than_levels_at_equal_distances() -> None:
    numbers = matrix(256, 512)
    scales = numbers.view(-1, BLOCK).abs().amax(1, keepdim=True)
    even = ((numbers.view(-1, BLOCK) / scales * 7).round() * scales / 7).view(numbers.shape)
    ways = (there_and_back(numbers, 8), there_and_back(numbers, 4), even)
    eight, four, equal = (float((found - numbers).square().mean()) for found in ways)
    assert eight < four / 100 and four < equal


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 700), seed=st.integers(0, 99))
def test_the_mean_is_added_up_in_one_order(count: int, seed: int) -> None:
    """In plain Python, whose floats are the same on every machine: to the bit."""
    numbers = matrix(1, count, seed)[0]
    sums = numbers.double().tolist()
    while len(sums) > 1:
        sums = [sum(sums[place : place + 2]) for place in range(0, len(sums), 2)]
    assert mean_of(numbers).item() == torch.tensor(sums[0] / count, dtype=torch.float64).float().item()
    torch.testing.assert_close(mean_of(numbers), numbers.mean(), rtol=1e-4, atol=1e-7)
