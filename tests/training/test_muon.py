"""Muon against PyTorch's own, a singular value decomposition, and the rule written out in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from homespun.training.muon import LIKE_ADAMW, POLAR_EXPRESS, QUINTIC, Muon, Rounds, orthogonalize


def random_matrices(*shapes: tuple[int, ...], seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def give_gradients(matrices: list[nn.Parameter], seed: int) -> None:
    for number, matrix in enumerate(matrices):
        generator = torch.Generator().manual_seed(1000 * number + seed)
        matrix.grad = torch.randn(matrix.shape, generator=generator)


def muon(matrices: list[nn.Parameter], rows: list[tuple[int, ...]], rounds: Rounds = POLAR_EXPRESS) -> Muon:
    pairs = list(zip(matrices, rows, strict=True))
    return Muon(pairs, lr=0.02, momentum=0.9, weight_decay=0.3, dtype=torch.float32, rounds=rounds)


def apart(found: torch.Tensor, expected: torch.Tensor, start: torch.Tensor) -> float:
    """How far two results are from each other, as a share of the way from the start."""
    return float(((found - expected).norm() / (expected - start).norm()).detach())


@settings(deadline=None, max_examples=30)
@given(
    count=st.integers(1, 3), rows=st.integers(1, 40), more=st.integers(0, 40), size=st.floats(1e-6, 1e6),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_orthogonal_is_what_a_singular_value_decomposition_gives(
    count: int, rows: int, more: int, size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randn(count, rows, rows + more, generator=generator) * size
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    ours = orthogonalize(matrices, torch.float32)
    # In the same basis it is diagonal, and near 1 wherever the matrix is not all but singular.
    inner = left.mT @ ours @ right.mT
    diagonal = inner.diagonal(dim1=-2, dim2=-1)
    assert float((inner - torch.diag_embed(diagonal)).abs().max()) < 2e-3
    share = values / matrices.norm(dim=(-2, -1)).unsqueeze(-1)
    assert bool((diagonal < 1.2).all())
    assert bool((diagonal[share > 0.01] > 0.8).all())


@pytest.mark.parametrize("rounds", [POLAR_EXPRESS, QUINTIC], ids=["polar express", "quintic"])
def test_singular_values_come_out_near_one(rounds: tuple[tuple[float, float, float], ...]) -> None:
    values = torch.tensor([1.0, 0.5, 0.1, 0.05, 0.01])
    found = orthogonalize(torch.diag(values).unsqueeze(0), torch.float32, rounds)[0].diagonal()
    assert bool(((found > 0.65) & (found < 1.25)).all())


def test_no_gradient_at_all_is_no_step() -> None:
    assert not bool(orthogonalize(torch.zeros(1, 3, 5), torch.float32).any())


@pytest.mark.parametrize("shape", [(32, 32), (24, 72), (72, 24)])
def test_steps_are_pytorchs(shape: tuple[int, int]) -> None:
    """PyTorch's has the quintic's coefficients and works in bfloat16, which is good to about a hundredth."""
    ours, theirs = random_matrices(shape), random_matrices(shape)
    start = ours[0].detach().clone()
    optimizer = muon(ours, [shape[:1]], rounds=QUINTIC)
    reference = torch.optim.Muon(
        theirs, lr=0.02, momentum=0.9, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"
    )  # fmt: skip
    for seed in range(4):
        for matrices, one in ((ours, optimizer), (theirs, reference)):
            give_gradients(matrices, seed)
            one.step()
    assert apart(ours[0], theirs[0], start) < 0.03


def test_parts_of_fused_matrices_move_on_their_own() -> None:
    """Rows that are split, wide and tall ones, several of one shape: each as the rule says, by decomposition."""
    shapes, rows = [(48, 16), (16, 40), (16, 16)], [(16, 24, 8), (16,), (4, 12)]
    matrices, by_hand = random_matrices(*shapes), [m.detach().double() for m in random_matrices(*shapes)]
    momenta = [torch.zeros_like(matrix) for matrix in by_hand]
    optimizer = muon(matrices, rows)
    for seed in range(3):
        give_gradients(matrices, seed)
        optimizer.step()
        for matrix, momentum, given_, heights in zip(by_hand, momenta, matrices, rows, strict=True):
            gradient = given_.grad.double()
            momentum.mul_(0.9).add_(gradient, alpha=0.1)
            for part, step in zip(matrix.split(heights), (0.1 * gradient + 0.9 * momentum).split(heights), strict=True):
                left, _, right = torch.linalg.svd(step, full_matrices=False)
                part.mul_(1 - 0.02 * 0.3).sub_(0.02 * LIKE_ADAMW * math.sqrt(max(step.shape)) * left @ right)
    for matrix, expected, start in zip(matrices, by_hand, random_matrices(*shapes), strict=True):
        assert apart(matrix, expected, start) < 0.1
    for matrix, momentum in zip(matrices, momenta, strict=True):
        torch.testing.assert_close(optimizer.state[matrix]["momentum"].double(), momentum, rtol=1e-5, atol=1e-6)


def test_a_step_has_the_size_of_one_of_adamw() -> None:
    matrix = random_matrices((64, 160))[0]
    start = matrix.detach().clone()
    optimizer = Muon([(matrix, (64,))], lr=0.01, momentum=0.95, weight_decay=0.0, dtype=torch.bfloat16)
    give_gradients([matrix], 1)
    optimizer.step()
    root_mean_square = float((matrix.detach() - start).pow(2).mean().sqrt())
    assert math.isclose(root_mean_square, 0.01 * 0.2, rel_tol=0.1)


def test_a_matrix_without_gradient_stays() -> None:
    first, second = random_matrices((8, 8), (8, 8))
    before = second.detach().clone()
    optimizer = muon([first, second], [(8,), (8,)])
    give_gradients([first], 1)
    optimizer.step()
    assert torch.equal(second, before)
    assert not torch.equal(first, random_matrices((8, 8))[0])


@pytest.mark.parametrize("poison", [math.nan, math.inf, 1.0])
def test_a_skipped_step_changes_nothing(poison: float) -> None:
    matrices = random_matrices((8, 12), (12, 8))
    optimizer = muon(matrices, [(8,), (4, 8)])
    give_gradients(matrices, 1)
    optimizer.step()
    before = [tensor.clone() for m in matrices for tensor in (m.detach(), optimizer.state[m]["momentum"])]
    for matrix in matrices:
        matrix.grad = torch.full_like(matrix, poison)
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    after = [tensor for m in matrices for tensor in (m.detach(), optimizer.state[m]["momentum"])]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_step_that_is_not_skipped_is_the_step() -> None:
    one, other = random_matrices((8, 12)), random_matrices((8, 12))
    first, second = muon(one, [(8,)]), muon(other, [(8,)])
    second.found_inf = torch.zeros(())
    for seed in range(3):
        give_gradients(one, seed)
        give_gradients(other, seed)
        first.step()
        second.step()
    torch.testing.assert_close(one[0], other[0], rtol=1e-6, atol=1e-7)
