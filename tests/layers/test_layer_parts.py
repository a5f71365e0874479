"""Normalization, positions and feed-forward layers against their formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.layers.attention import SelfAttention
from homespun.layers.feedforward import FEEDFORWARDS
from homespun.layers.normalization import NORMALIZATIONS, RMSNorm
from homespun.layers.positions import LearnedPositions, RotaryPositions
from homespun.layers.softcap import SoftCap


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_rms_norm_is_torchs(scale: float) -> None:
    torch.manual_seed(0)
    ours, reference = RMSNorm(32, 1e-5), torch.nn.RMSNorm(32, 1e-5)
    with torch.no_grad():
        reference.weight.copy_(ours.weight.normal_())
    x = scale * torch.randn(3, 5, 32)
    by_hand = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * ours.weight
    torch.testing.assert_close(ours(x), reference(x))
    torch.testing.assert_close(ours(x), by_hand)


def test_rms_norm_keeps_the_type_of_its_input() -> None:
    assert RMSNorm(8, 1e-6)(torch.randn(2, 8).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("biases", [False, True])
def test_layer_norm_is_the_formula(biases: bool) -> None:
    torch.manual_seed(0)
    norm = NORMALIZATIONS["layer"](1e-5, biases)(16)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(4, 16)
    centred = x - x.mean(-1, keepdim=True)
    expected = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    if biases:
        expected = expected + norm.bias
    assert len(list(norm.parameters())) == 1 + biases
    torch.testing.assert_close(norm(x), expected)


@settings(deadline=None, max_examples=60)
@given(
    distance=st.integers(0, 40),
    first=st.integers(0, 80),
    second=st.integers(0, 80),
    half=st.integers(1, 16),
    base=st.floats(2, 1e6),
    seed=st.integers(0, 2**31),
)
def test_rotary_products_depend_on_the_distance_alone(
    distance: int, first: int, second: int, half: int, base: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 1, 1, 1, 2 * half, generator=generator)
    positions = RotaryPositions(128, 2 * half, base)

    def product(start: int) -> float:
        return float((positions.turn(query, start + distance) * positions.turn(key, start)).sum())

    assert math.isclose(product(first), product(second), abs_tol=1e-3 * half)


def test_rotary_turns_pairs_of_channels_by_the_published_angle() -> None:
    positions, x = RotaryPositions(50, 8, 100.0), torch.randn(1, 3, 2, 8)
    turned = positions.turn(x, 40)
    for step in range(3):
        for i in range(4):
            angle = (40 + step) * 100.0 ** (-2 * i / 8)
            pair = torch.complex(x[0, step, :, i], x[0, step, :, i + 4])
            expected = pair * complex(math.cos(angle), math.sin(angle))
            torch.testing.assert_close(turned[0, step, :, i], expected.real, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(turned[0, step, :, i + 4], expected.imag, rtol=1e-4, atol=1e-5)
    assert torch.equal(positions.add(x, 40), x)


def test_rotary_keeps_lengths_and_position_zero() -> None:
    positions, x = RotaryPositions(64, 16, 10_000.0), torch.randn(2, 64, 3, 16)
    torch.testing.assert_close(positions.turn(x, 0).norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(positions.turn(x, 0)[:, 0], x[:, 0])
    torch.testing.assert_close(positions.turn(x, 0)[:, 10:20], positions.turn(x[:, 10:20], 10))


def test_learned_positions_add_the_vector_of_the_position() -> None:
    positions = LearnedPositions(10, 4)
    torch.nn.init.normal_(positions.weight)
    x = torch.randn(2, 3, 4)
    expected = torch.stack([x[:, t] + positions.weight[5 + t] for t in range(3)], 1)
    assert torch.equal(positions.add(x, 5), expected)
    heads = torch.randn(2, 3, 2, 2)
    assert torch.equal(positions.turn(heads, 5), heads)


@pytest.mark.parametrize("biases", [False, True])
def test_feedforward_formulas(biases: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8)
    gelu = FEEDFORWARDS["gelu"](8, 12, biases=biases)
    inner = gelu.widen(x)
    bent = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    torch.testing.assert_close(gelu(x), gelu.output(bent))
    relu2 = FEEDFORWARDS["relu2"](8, 12, biases=biases)
    inner = relu2.widen(x)
    torch.testing.assert_close(relu2(x), relu2.output(torch.where(inner > 0, inner * inner, 0.0)))
    swiglu = FEEDFORWARDS["swiglu"](8, 12, biases=biases)
    both = swiglu.gate_and_widen(x)
    gate, path = both[..., :12], both[..., 12:]
    torch.testing.assert_close(swiglu(x), swiglu.output(gate * gate.sigmoid() * path))
    assert len(list(gelu.parameters())) == len(list(swiglu.parameters())) == 2 + 2 * biases


def test_soft_cap_is_the_formula_and_keeps_small_logits() -> None:
    cap, logits = SoftCap(15.0), torch.tensor([-1e4, -20.0, -0.1, 0.0, 0.1, 20.0, 1e4])
    expected = torch.tensor([15 * math.tanh(value / 15) for value in logits.tolist()])
    torch.testing.assert_close(cap(logits), expected)
    assert float(cap(logits).abs().max()) <= 15
    torch.testing.assert_close(cap(logits)[2:5], logits[2:5], rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("name", sorted(FEEDFORWARDS))
def test_declared_matrices_are_there_and_split_into_all_their_rows(name: str) -> None:
    normalization = NORMALIZATIONS["rms"](1e-6, False)
    attention = SelfAttention(24, 4, 2, 10, biases=True, head_normalization=normalization, dropout=0.0)
    for layer in (attention, FEEDFORWARDS[name](24, 56, biases=True)):
        declared = {name: sum(rows) for name, rows in layer.matrices.items()}
        assert declared == {name: p.shape[0] for name, p in layer.named_parameters() if p.dim() == 2}
