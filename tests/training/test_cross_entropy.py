"""The loss from activations, against PyTorch's own cross-entropy on all logits: value, both gradients, what is held."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from homespun.batches.batch import IGNORED
from homespun.training import cross_entropy as module
from homespun.training.cross_entropy import read_out_cross_entropy

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # hidden, weight, targets
Results = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def inputs_of(rows: int, width: int, vocabulary: int, ignored: float, seed: int, size: float = 1.0) -> Inputs:
    """``hidden`` (N, C), ``weight`` (V, C), ``targets`` (N) of which a share does not count."""
    generator = torch.Generator().manual_seed(seed)
    hidden = size * torch.randn(rows, width, generator=generator)
    weight = torch.randn(vocabulary, width, generator=generator)
    targets = torch.randint(vocabulary, (rows,), generator=generator)
    targets[torch.rand(rows, generator=generator) < ignored] = IGNORED
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def on_all_logits(inputs: Inputs, softcap: float, upstream: float) -> Results:
    """The definition: value, gradient of ``hidden``, gradient of ``weight``."""
    hidden, weight, targets = inputs
    logits = (hidden @ weight.T).float()
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    total = cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    return total.detach(), *torch.autograd.grad(total * upstream, (hidden, weight))


def ours(inputs: Inputs, softcap: float, upstream: float, rows: int) -> Results:
    """The same, ``rows`` rows at a time."""
    hidden, weight, targets = inputs
    total = read_out_cross_entropy(hidden, weight, targets, softcap, rows * len(weight))
    return total.detach(), *torch.autograd.grad(total * upstream, (hidden, weight))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 23),
    width=st.integers(1, 9),
    vocabulary=st.integers(1, 40),
    ignored=st.sampled_from([0.0, 0.4, 1.0]),
    softcap=st.sampled_from([0.0, 0.5, 15.0]),
    size=st.sampled_from([0.01, 1.0, 30.0]),
    upstream=st.sampled_from([1.0, 0.125, -3.0, 0.0]),
    piece=st.integers(1, 30),
    seed=st.integers(0, 1000),
)
def test_value_and_gradients_are_pytorchs(
    rows: int, width: int, vocabulary: int, ignored: float, softcap: float, size: float, upstream: float, piece: int,
    seed: int,
) -> None:  # fmt: skip
    inputs = inputs_of(rows, width, vocabulary, ignored, seed, size)
    expected, found = on_all_logits(inputs, softcap, upstream), ours(inputs, softcap, upstream, piece)
    assert found[0].dtype == torch.float32 and found[0].dim() == 0
    for name, one, other in zip(("value", "hidden", "weight"), found, expected, strict=True):
        atol = 1e-5 * max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 23),
    vocabulary=st.integers(1, 40),
    ignored=st.sampled_from([0.0, 0.4, 1.0]),
    softcap=st.sampled_from([0.0, 15.0]),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
    upstream=st.sampled_from([1.0, -3.0]),
    piece=st.integers(1, 30),
    seed=st.integers(0, 1000),
)
def test_with_a_bias_and_smoothed_labels(
    rows: int, vocabulary: int, ignored: float, softcap: float, smoothing: float, upstream: float, piece: int, seed: int
) -> None:
    hidden, weight, targets = inputs_of(rows, 5, vocabulary, ignored, seed)
    bias = torch.randn(vocabulary, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    logits = hidden @ weight.T + bias
    capped = softcap * torch.tanh(logits / softcap) if softcap else logits
    expected = cross_entropy(capped, targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing)
    found = read_out_cross_entropy(hidden, weight, targets, softcap, piece * vocabulary, bias=bias, smoothing=smoothing)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for one, other in zip(
        torch.autograd.grad(found * upstream, (hidden, weight, bias)),
        torch.autograd.grad(expected * upstream, (hidden, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * max(1.0, float(other.abs().max())))


def test_all_ignored_is_nothing() -> None:
    for found in ours(inputs_of(7, 4, 11, 1.0, 0), 0.0, 1.0, 3):
        assert not bool(found.any())


@pytest.mark.parametrize("softcap", [0.0, 10.0])
def test_under_autocast_it_differs_by_no_more_than_bf16_rounds(softcap: float) -> None:
    """Both against fp32: pieces must not round worse than PyTorch's own gradient does."""
    inputs = inputs_of(200, 32, 97, 0.2, 5)
    exact = on_all_logits(inputs, softcap, 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        plain, found = on_all_logits(inputs, softcap, 0.5), ours(inputs, softcap, 0.5, 16)
    assert [one.dtype for one in found] == [torch.float32] * 3
    for name, one, other, true in zip(("value", "hidden", "weight"), found, plain, exact, strict=True):
        error, usual = (float((result - true).norm() / true.norm()) for result in (one, other))
        assert 0 < error < max(2 * usual, 1e-3), (name, error, usual)
        assert error < 0.01, name


class LargestTensor(TorchDispatchMode):
    """Remembers the most numbers that any operation has put into one tensor."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, torch.Tensor):
                self.numbers = max(self.numbers, result.numel())
        return results


def test_no_tensor_holds_all_logits() -> None:
    inputs = inputs_of(300, 4, 50, 0.1, 3)
    with LargestTensor() as all_at_once:
        on_all_logits(inputs, 8.0, 1.0)
    with LargestTensor() as in_pieces:
        ours(inputs, 8.0, 1.0, 30)
    assert all_at_once.numbers == 300 * 50
    assert in_pieces.numbers == 30 * 50


def test_without_gradients_no_work_is_done_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = inputs_of(9, 4, 11, 0.2, 1)
    expected = on_all_logits(inputs, 0.0, 1.0)[0]

    def work(*_: object) -> None:
        raise AssertionError("a gradient nobody asked for")

    monkeypatch.setattr(module, "loss_slope", work)
    with torch.no_grad():
        found = read_out_cross_entropy(*inputs)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    with pytest.raises(AssertionError, match="nobody asked for"):
        read_out_cross_entropy(*inputs)


def test_inputs_stay_as_they_are() -> None:
    inputs = inputs_of(20, 6, 13, 0.3, 2)
    before = [tensor.detach().clone() for tensor in inputs]
    ours(inputs, 3.0, 2.0, 7)
    assert all(torch.equal(tensor, old) for tensor, old in zip(inputs, before, strict=True))
