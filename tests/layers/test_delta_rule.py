"""RWKV-7's recurrence: the chunked kernel against the formula, position by position, in values and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.layers.delta_rule import CHUNK, DELTA_RULES, follow_explicitly, follow_in_chunks

NAMES = ("receptance", "log_decay", "key", "value", "removal", "rate", "state")
FASTEST = float(np.exp(-0.5))


def parts_of(batch: int, length: int, heads: int, width: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """What a layer gives the kernel: unit removal keys, rates within 0 and 1, decays within what a layer can ask."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(batch, length, heads, width, generator=generator)

    return {
        "receptance": normal(),
        "log_decay": -FASTEST * normal().mul(2).sigmoid(),
        "key": normal(),
        "value": normal(),
        "removal": torch.nn.functional.normalize(normal(), dim=-1),
        "rate": normal().sigmoid(),
        "state": torch.randn(batch, heads, width, width, generator=generator),
    }


def followed(kernel: str, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a kernel reads, the state it leaves, and the gradients of a mixture of both."""
    leaves = {name: part.detach().clone().requires_grad_() for name, part in parts.items()}
    reads, state = DELTA_RULES[kernel](*(leaves[name] for name in NAMES))
    generator = torch.Generator().manual_seed(9)
    weight = torch.randn(reads.shape, generator=generator), torch.randn(state.shape, generator=generator)
    ((reads * weight[0]).sum() + (state * weight[1]).sum()).backward()
    found = {"reads": reads.detach(), "state after": state.detach()}
    return found | {f"gradient of {name}": leaf.grad for name, leaf in leaves.items()}


def assert_alike(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], near: float = 5e-4) -> None:
    """Within ``near`` of the largest number of each tensor."""
    for name, tensor in theirs.items():
        assert ours[name].shape == tensor.shape, name
        difference = float((ours[name] - tensor).abs().max() / tensor.abs().max().clamp_min(1e-3))
        assert difference < near, f"{name}: {difference}"


def by_the_paper(parts: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Equations 17 and 18 with whole matrices, in 64 bits."""
    numbers = {name: part.double().numpy() for name, part in parts.items()}
    state = numbers["state"].copy()
    reads = np.zeros_like(numbers["value"])
    batch, length, heads, _ = reads.shape
    for row in range(batch):
        for head in range(heads):
            for t in range(length):
                r, w, k, v, q, a = (numbers[name][row, t, head] for name in NAMES[:-1])
                change = np.diag(np.exp(w)) - np.outer(q, a * q)
                state[row, head] = state[row, head] @ change + np.outer(v, k)
                reads[row, t, head] = state[row, head] @ r
    return reads, state


@pytest.mark.parametrize("kernel", DELTA_RULES)
@pytest.mark.parametrize("length", [1, 5, CHUNK, 3 * CHUNK - 1])
def test_a_kernel_is_the_equation_of_the_paper(kernel: str, length: int) -> None:
    parts = parts_of(2, length, 3, 8)
    reads, state = DELTA_RULES[kernel](*(parts[name] for name in NAMES))
    wanted_reads, wanted_state = by_the_paper(parts)
    np.testing.assert_allclose(reads, wanted_reads, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(state, wanted_state, rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 5 * CHUNK),
    heads=st.integers(1, 3),
    width=st.sampled_from([1, 2, 7, 16]),
    seed=st.integers(0, 999),
)
def test_chunks_equal_steps_in_values_and_gradients(batch: int, length: int, heads: int, width: int, seed: int) -> None:
    parts = parts_of(batch, length, heads, width, seed)
    assert_alike(followed("fused", parts), followed("explicit", parts))


@pytest.mark.parametrize("log_decay", [0.0, -FASTEST])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_chunks_stay_exact_at_the_limits(log_decay: float, rate: float) -> None:
    """The strongest and no decay; the same key removed wholly, again and again: the hardest triangular system."""
    parts = parts_of(1, 4 * CHUNK, 2, 16)
    parts["log_decay"] = torch.full_like(parts["log_decay"], log_decay)
    parts["rate"] = torch.full_like(parts["rate"], rate)
    parts["removal"] = parts["removal"][:, :1].expand_as(parts["removal"])
    assert_alike(followed("fused", parts), followed("explicit", parts), near=2e-4)


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, 3 * CHUNK - 1), kernel=st.sampled_from(sorted(DELTA_RULES)))
def test_a_text_may_be_cut_anywhere(cut: int, kernel: str) -> None:
    parts = parts_of(2, 3 * CHUNK, 2, 8)
    whole, state = DELTA_RULES[kernel](*(parts[name] for name in NAMES))
    first, middle = DELTA_RULES[kernel](*(parts[name][:, :cut] for name in NAMES[:-1]), parts["state"])
    second, last = DELTA_RULES[kernel](*(parts[name][:, cut:] for name in NAMES[:-1]), middle)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(last, state, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", DELTA_RULES)
def test_the_state_is_kept_in_fp32_under_mixed_precision(kernel: str) -> None:
    parts = parts_of(1, 20, 2, 8)
    rounded = {
        name: part.bfloat16() if name in ("key", "value", "receptance") else part for name, part in parts.items()
    }
    with torch.autocast("cpu", torch.bfloat16):
        reads, state = DELTA_RULES[kernel](*(rounded[name] for name in NAMES))
    wanted, wanted_state = follow_explicitly(*(rounded[name].float() for name in NAMES))
    assert reads.dtype == state.dtype == torch.float32
    torch.testing.assert_close(reads, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(state, wanted_state, rtol=1e-4, atol=1e-4)


def test_a_removal_at_full_rate_forgets_what_was_under_the_key() -> None:
    """Without decay: write a value under a key, overwrite it there, and only the second is read."""
    key = torch.zeros(1, 2, 1, 4)
    key[..., 1] = 1
    value = torch.tensor([[[[1.0, 2, 3, 4]], [[5.0, 6, 7, 8]]]])
    reads, _ = follow_in_chunks(
        key, torch.zeros_like(key), key, value, key, torch.ones_like(key), torch.zeros(1, 1, 4, 4)
    )
    torch.testing.assert_close(reads, value)
