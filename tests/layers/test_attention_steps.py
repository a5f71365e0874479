"""The steps one reads, each against the one before and the last against the layer that models use."""

import pytest
import torch
from torch import nn

from homespun.layers import attention
from homespun.layers.attention_steps import (
    CausalAttention,
    GroupedQueryAttention,
    HeadsSideBySide,
    MultiHeadAttention,
    SelfAttention,
    mean_of_similar,
    show,
)
from homespun.layers.attention_weights import watched_attention
from homespun.layers.positions import LearnedPositions
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig

X = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0))
ALL_STEPS = [SelfAttention(12, 12), CausalAttention(12, 12), HeadsSideBySide(12, 3), MultiHeadAttention(12, 3),
             GroupedQueryAttention(12, 6, 2)]  # fmt: skip


def test_step_1_of_equal_vectors_is_their_mean() -> None:
    x = torch.zeros(1, 4, 3)
    mixed, weights = mean_of_similar(x)
    torch.testing.assert_close(weights, torch.full((1, 4, 4), 0.25))
    torch.testing.assert_close(mixed, x)


def test_step_2_without_learned_weights_is_step_1() -> None:
    step = SelfAttention(12, 12)
    for part in (step.query, step.key, step.value):
        nn.init.eye_(part.weight)
    found, expected = step(X * 12**0.25), mean_of_similar(X)
    torch.testing.assert_close(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0] * 12**0.25)


@pytest.mark.parametrize("step", ALL_STEPS, ids=lambda step: type(step).__name__)
def test_weights_are_shares(step: nn.Module) -> None:
    _, weights = step(X)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@pytest.mark.parametrize("step", ALL_STEPS[1:], ids=lambda step: type(step).__name__)
def test_no_position_sees_a_later_one(step: nn.Module) -> None:
    changed = X.clone()
    changed[:, 4:] += 1.0
    before, after = step(X), step(changed)
    torch.testing.assert_close(before[0][:, :4], after[0][:, :4], rtol=0, atol=0)
    assert not torch.equal(before[0][:, 4:], after[0][:, 4:])
    assert not before[1].triu(1).any()


def test_step_3_ends_like_step_2_which_the_last_position_cannot_tell() -> None:
    causal, plain = CausalAttention(12, 4), SelfAttention(12, 4)
    plain.load_state_dict(causal.state_dict())
    torch.testing.assert_close(causal(X)[0][:, -1], plain(X)[0][:, -1])


def test_step_5_is_step_4() -> None:
    side_by_side, at_once = HeadsSideBySide(12, 3), MultiHeadAttention(12, 3)
    with torch.no_grad():
        for name in ("query", "key", "value"):
            parts = [getattr(head, name).weight for head in side_by_side.heads]
            getattr(at_once, name).weight.copy_(torch.cat(parts))
        at_once.output.weight.copy_(side_by_side.output.weight)
    for found, expected in zip(at_once(X), side_by_side(X), strict=True):
        torch.testing.assert_close(found, expected)


def test_step_6_with_a_key_for_each_query_is_step_5() -> None:
    grouped, plain = GroupedQueryAttention(12, 3, 3), MultiHeadAttention(12, 3)
    grouped.load_state_dict(plain.state_dict())
    for found, expected in zip(grouped(X), plain(X), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("key_value_heads", [1, 2, 6])
def test_the_last_step_is_what_models_use(key_value_heads: int) -> None:
    step = GroupedQueryAttention(12, 6, key_value_heads)
    layer = attention.SelfAttention(12, 6, key_value_heads, 2, biases=False, head_normalization=None, dropout=0.0)
    with torch.no_grad():
        layer.query_key_value.weight.copy_(torch.cat([step.query.weight, step.key.weight, step.value.weight]))
        layer.output.weight.copy_(step.output.weight)
    ours, weights = step(X)
    with watched_attention(nn.Sequential(layer)) as seen:
        watched = layer(X, LearnedPositions(8, 12), 0, None)
    torch.testing.assert_close(ours, layer(X, LearnedPositions(8, 12), 0, None))
    torch.testing.assert_close(watched, ours)
    (found,) = seen
    torch.testing.assert_close(found, weights)


def test_dropout_leaves_the_mean_and_only_in_training() -> None:
    step = CausalAttention(12, 4, dropout=0.5)
    still = step.eval()(X)[0]
    torch.testing.assert_close(step(X)[0], still)
    step.train()
    mean = torch.stack([step(X)[0] for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, still, rtol=0.0, atol=0.1)


def test_weights_come_out_of_a_whole_model_and_out_of_its_cache() -> None:
    model = GPT(GPTConfig(vocabulary_size=20, context=16, layers=3, width=16, heads=4, key_value_heads=2)).eval()
    tokens, cache = torch.randint(20, (2, 9)), model.new_cache(2)
    with torch.no_grad():
        plain = model(tokens)
        with watched_attention(model) as whole:
            torch.testing.assert_close(model(tokens), plain)
        with watched_attention(model) as parts:
            model(tokens[:, :5], cache)
            model(tokens[:, 5:], cache)
        torch.testing.assert_close(model(tokens), plain, rtol=0, atol=0)  # the kernel is back
    assert [weights.shape for weights in whole] == [(2, 4, 9, 9)] * 3
    for layer in range(3):
        torch.testing.assert_close(parts[layer], whole[layer][:, :, :5, :5])
        torch.testing.assert_close(parts[3 + layer], whole[layer][:, :, 5:])


def test_it_shows_itself(capsys: pytest.CaptureFixture[str]) -> None:
    show()
    shown = capsys.readouterr().out
    assert "6 four heads" in shown
    assert "1.00   0.00   0.00" in shown
