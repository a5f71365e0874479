"""A mixture of experts against the loop that works out everything and throws most of it away."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.layers.experts import Experts, unevenness
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.training.losses import NextToken


def experts_of(width: int = 12, hidden: int = 7, experts: int = 5, chosen: int = 2, seed: int = 0) -> Experts:
    torch.manual_seed(seed)
    return Experts(width, hidden, experts, chosen)


def naive(layer: Experts, x: torch.Tensor) -> torch.Tensor:
    """Every expert for every position; those that are not among the likeliest count nothing."""
    chances = (x @ layer.router.weight.T).softmax(-1)  # (B, T, E)
    least = chances.sort(descending=True).values[..., layer.chosen - 1 : layer.chosen]
    weights = torch.where(chances >= least, chances, 0.0)
    weights = weights / weights.sum(-1, keepdim=True)
    hidden = layer.output.weight.shape[1]
    out = torch.zeros_like(x)
    for expert in range(layer.experts):
        both = layer.gate_and_widen.weight[expert * 2 * hidden : (expert + 1) * 2 * hidden]
        narrow = layer.output.weight[expert * x.shape[-1] : (expert + 1) * x.shape[-1]]
        found = (torch.nn.functional.silu(x @ both[:hidden].T) * (x @ both[hidden:].T)) @ narrow.T
        out = out + weights[..., expert : expert + 1] * found
    return out


@settings(deadline=None, max_examples=50)
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 7),
    experts=st.integers(1, 6),
    chosen=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_it_is_the_loop_over_all_experts(batch: int, length: int, experts: int, chosen: int, seed: int) -> None:
    layer = experts_of(experts=experts, chosen=min(chosen, experts), seed=seed)
    x = torch.randn(batch, length, 12, requires_grad=True)
    found = []
    for function in (layer, lambda rows: naive(layer, rows)):
        out = function(x)
        out.square().sum().backward()
        found.append([out.detach(), x.grad.clone(), *(one.grad.clone() for one in layer.parameters())])
        layer.zero_grad()
        x.grad = None
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_only_chosen_experts_are_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, rows = experts_of(experts=6, chosen=2), []
    linear = torch.nn.functional.linear

    def counted(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        rows.append(len(x))
        return linear(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", counted)
    x = torch.randn(1, 1, 12).expand(3, 4, 12)  # all alike: two experts get everything
    layer(x)
    assert rows == [12, 12, 12, 12, 12]  # the router; widening and narrowing of two
    with torch.no_grad():
        _, experts = layer.route(x.flatten(0, 1))
    assert len(experts.unique()) == 2


def test_weights_sum_to_one_and_the_likeliest_comes_first() -> None:
    layer = experts_of(experts=6, chosen=3)
    weights, experts = layer.route(torch.randn(50, 12))
    torch.testing.assert_close(weights.sum(-1), torch.ones(50))
    assert bool((weights.diff(dim=-1) <= 0).all())
    assert all(len(set(row)) == 3 for row in experts.tolist())


def test_the_router_works_in_full_numbers() -> None:
    layer, rows = experts_of(width=64, experts=8), torch.randn(400, 64)
    with torch.autocast("cpu", torch.bfloat16):
        weights, experts = layer.route(rows)
        assert layer(rows[None]).shape == (1, 400, 64)
    expected_weights, expected = layer.route(rows)
    assert weights.dtype == torch.float32
    assert torch.equal(experts, expected) and torch.equal(weights, expected_weights)


def test_unevenness_is_1_where_all_are_alike_and_the_number_of_experts_where_one_has_all() -> None:
    even = torch.full((8, 4), 0.25)
    assert unevenness(even, torch.arange(8)[:, None] % 4).item() == pytest.approx(1)
    one = torch.zeros(8, 4)
    one[:, 2] = 1
    assert unevenness(one, torch.full((8, 1), 2)).item() == pytest.approx(4)


def test_its_gradient_takes_probability_from_those_that_have_too_much() -> None:
    logits = torch.zeros(6, 3, requires_grad=True)
    unevenness(logits.softmax(-1), torch.tensor([[0], [0], [0], [0], [1], [2]])).backward()
    assert bool((logits.grad[:, 0] > 0).all()) and bool((logits.grad[:, 1:] < 0).all())


def test_it_is_looked_at_in_training_only() -> None:
    layer = experts_of().eval()
    layer(torch.randn(2, 3, 12))
    assert layer.unevenness.item() == 0
    layer.train()(torch.randn(2, 3, 12))
    assert layer.unevenness.item() >= 0.99 and layer.unevenness.requires_grad


def test_the_penalty_moves_the_router_and_not_the_figure() -> None:
    """The loss that is told is that of the text; its gradient is that of loss and penalty."""
    config = GPTConfig(vocabulary_size=31, context=12, layers=2, width=16, heads=2, experts=4, expert_width=8)
    torch.manual_seed(1)
    model, batch = GPT(config), NextToken().example(config, 3)
    gradients, totals = [], []
    for training in (False, True):
        model.train(training)
        total, count, *_ = NextToken().loss(model, batch)
        model.zero_grad()
        (total / count).backward()
        totals.append(total.item())
        gradients.append({name: one.grad.clone() for name, one in model.named_parameters()})
    assert totals[0] == totals[1]
    model.zero_grad()
    model.hidden(batch.inputs)
    model.penalty().backward()
    for name, parameter in model.named_parameters():
        extra = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(gradients[1][name], gradients[0][name] + extra, rtol=1e-4, atol=1e-6)
    assert bool(model.blocks[1].feedforward.router.weight.grad.abs().sum() > 0)


def test_training_with_the_penalty_spreads_the_tokens() -> None:
    """A router that begins by sending everything to one expert is brought to use all of them."""
    layer = experts_of(width=8, hidden=4, experts=4, chosen=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        layer.router.weight[0] = 0.5
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.03)
    found = []
    for _ in range(150):
        layer(1 + torch.randn(1, 64, 8, generator=generator))
        found.append(layer.unevenness.item())
        layer.unevenness.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert found[0] > 2 and found[-1] < 1.3
