"""Ways of storing weights, bit for bit against the library of those who made the format."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from homespun.interchange.gguf.numbers import NUMBERS

# The oracle divides by scales that have no inverse; what ours does there is tested below.
SMALLEST = np.float32(2.0**-100)


def finite(limit: float) -> st.SearchStrategy[np.ndarray]:
    """Blocks of float32 within the limit, with zeros, and with values that repeat."""
    values = st.floats(-limit, limit, width=32).map(lambda value: value if abs(value) > SMALLEST else 0.0)
    return arrays(np.float32, (3, 32), elements=values, fill=st.just(0.0))


def pack(name: str, weights: np.ndarray) -> np.ndarray:
    number = NUMBERS[name]
    return number.pack(weights.reshape(-1, number.weights)).reshape(-1)


def unpack(name: str, raw: np.ndarray) -> np.ndarray:
    number = NUMBERS[name]
    return number.unpack(raw.reshape(-1, number.size)).reshape(-1)


def same_as_oracle(gguf: ModuleType, name: str, weights: np.ndarray) -> None:
    kind = gguf.GGMLQuantizationType[name]
    expected = np.ascontiguousarray(gguf.quants.quantize(weights, kind)).view(np.uint8)
    found = pack(name, weights)
    assert np.array_equal(found, expected.reshape(-1))
    back = gguf.quants.dequantize(expected, kind).reshape(-1)
    assert np.array_equal(unpack(name, found), back)


@pytest.mark.parametrize("name", list(NUMBERS))
def test_bits_of_random_weights(gguf: ModuleType, name: str) -> None:
    random = np.random.default_rng(1)
    for scale in (1e-3, 0.02, 1.0, 300.0):
        same_as_oracle(gguf, name, random.normal(0, scale, (512, 64)).astype(np.float32))


@pytest.mark.parametrize("name", list(NUMBERS))
def test_bits_of_any_weights(gguf: ModuleType, name: str) -> None:
    @given(finite(60000.0))
    def check(weights: np.ndarray) -> None:
        same_as_oracle(gguf, name, weights)

    check()


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
def test_bits_where_weights_lie_between_two_numbers(gguf: ModuleType, name: str) -> None:
    steps = np.arange(-16, 16, dtype=np.float32)
    blocks = [steps * 8 + 0.5, steps / 2, -steps / 2, np.full(32, 3.0), np.zeros(32), np.where(steps < 0, -1, 1)]
    same_as_oracle(gguf, name, np.array(blocks, np.float32))


def test_halves_are_rounded_away_from_zero() -> None:
    block = np.zeros((1, 32), np.float32)
    block[0, :5] = [127, 0.5, -0.5, 1.5, 2.49]
    assert NUMBERS["Q8_0"].pack(block)[0, 2:7].view(np.int8).tolist() == [127, 1, -1, 2, 2]


def test_the_farthest_weight_is_kept_in_four_bits() -> None:
    for farthest in (7.5, -7.5):
        block = np.linspace(-1, 1, 32, dtype=np.float32)[None]
        block[0, 9] = farthest
        assert unpack("Q4_0", pack("Q4_0", block))[9] == farthest


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
def test_weights_too_small_for_a_scale_become_zero(name: str) -> None:
    block = np.full((1, 32), 1e-44, np.float32)
    assert not unpack(name, pack(name, block)).any()


@pytest.mark.parametrize("name", list(NUMBERS))
def test_sizes_and_limits(name: str) -> None:
    number = NUMBERS[name]
    largest = np.full(number.weights, number.largest, np.float32)
    raw = pack(name, largest)
    assert raw.dtype == np.uint8
    assert len(raw) == number.bytes_of(number.weights) == number.size
    assert np.isfinite(unpack(name, raw)).all()
