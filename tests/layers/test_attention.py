"""Attention against the formula written out, with its mask explicit; the cache; grouped queries."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.layers.attention import ATTENTIONS, SelfAttention, attend, use_attention
from homespun.layers.cache import KeyValueCache, LayerCache
from homespun.layers.normalization import NORMALIZATIONS
from homespun.layers.positions import RotaryPositions
from homespun.layers.query_blocks import pairs_worked_out, query_blocks


def attend_plainly(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Softmax attention, one query at a time; key-value head h // (H / K) serves query head h."""
    heads, new, width = queries.shape[1:]
    seen, share = keys.shape[2], heads // keys.shape[1]
    out = torch.empty_like(queries)
    for head in range(heads):
        key, value = keys[:, head // share], values[:, head // share]
        for place in range(new):
            visible = seen - new + place + 1
            scores = torch.einsum("bd,bsd->bs", queries[:, head, place], key[:, :visible]) / math.sqrt(width)
            out[:, head, place] = torch.einsum("bs,bsd->bd", scores.softmax(-1), value[:, :visible])
    return out


@settings(deadline=None, max_examples=80)
@given(
    name=st.sampled_from(sorted(ATTENTIONS)),
    key_value_heads=st.integers(1, 3),
    share=st.integers(1, 3),
    new=st.integers(1, 7),
    earlier=st.integers(0, 7),
    half_width=st.integers(1, 8),
    seed=st.integers(0, 2**31),
)
def test_every_attention_is_softmax_attention_with_a_causal_mask(
    name: str, key_value_heads: int, share: int, new: int, earlier: int, half_width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(2, key_value_heads * share, new, 2 * half_width, generator=generator)
    keys, values = torch.randn(2, 2, key_value_heads, new + earlier, 2 * half_width, generator=generator)
    inputs = [tensor.requires_grad_() for tensor in (queries, keys, values)]
    out, plain = ATTENTIONS[name](*inputs, 0.0), attend_plainly(*inputs)
    torch.testing.assert_close(out, plain, rtol=1e-4, atol=1e-5)
    weights = torch.randn(out.shape, generator=generator)
    ours, theirs = torch.autograd.grad(out, inputs, weights), torch.autograd.grad(plain, inputs, weights)
    for gradient, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("new", "earlier"), [(128, 0), (129, 0), (300, 0), (515, 0), (260, 70)])
def test_blocks_of_queries_leave_out_only_what_is_masked(new: int, earlier: int) -> None:
    generator = torch.Generator().manual_seed(new)
    queries = torch.randn(2, 4, new, 8, generator=generator).requires_grad_()
    keys, values = (torch.randn(2, 2, new + earlier, 8, generator=generator).requires_grad_() for _ in range(2))
    inputs = (queries, keys, values)
    outs = [ATTENTIONS["explicit"](*inputs, 0.0), attend_plainly(*inputs)]
    torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
    weights = torch.randn(outs[0].shape, generator=generator)
    gradients = [torch.autograd.grad(out, inputs, weights) for out in outs]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@given(st.integers(1, 5000))
def test_blocks_of_queries_are_all_queries_in_order(count: int) -> None:
    blocks = query_blocks(count)
    assert [place for begin, end in blocks for place in range(begin, end)] == list(range(count))
    assert len(blocks) <= 4
    assert count * (count + 1) / 2 <= pairs_worked_out(count) <= count * count
    assert count <= 128 or pairs_worked_out(count) < count * count


@pytest.mark.parametrize("name", sorted(ATTENTIONS))
def test_attention_in_bfloat16_stays_near(name: str) -> None:
    generator = torch.Generator().manual_seed(5)
    queries, keys, values = torch.randn(3, 2, 4, 30, 16, generator=generator)
    rounded = ATTENTIONS[name](queries.bfloat16(), keys.bfloat16(), values.bfloat16(), 0.0)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), attend_plainly(queries, keys, values), rtol=0.05, atol=0.03)


def test_attention_is_exchanged_on_every_layer() -> None:
    layers = [SelfAttention(16, 2, 2, 8, biases=False, head_normalization=None, dropout=0.0) for _ in range(2)]
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), *layers)
    assert [layer.attend for layer in layers] == [attend, attend]
    use_attention(model, "explicit")
    assert [layer.attend for layer in layers] == [ATTENTIONS["explicit"]] * 2
    with pytest.raises(KeyError):
        use_attention(model, "flash")


@pytest.mark.parametrize("name", sorted(ATTENTIONS))
def test_dropped_weights_leave_the_mean(name: str) -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 1, 1, 6, 4)
    values = torch.ones(1, 1, 6, 4)
    mean = torch.stack([ATTENTIONS[name](queries, keys, values, 0.5) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, values, rtol=0.1, atol=0.0)
    assert not torch.equal(ATTENTIONS[name](queries, keys, values, 0.5), values)


def test_added_values_come_on_top_of_the_values() -> None:
    torch.manual_seed(1)
    module = SelfAttention(24, 4, 2, 8, biases=False, head_normalization=None, dropout=0.0)
    positions, x, added = RotaryPositions(16, 8, 10_000.0), torch.randn(2, 5, 24), torch.randn(2, 5, 16)
    without = module(x, positions, 0, None)
    # Attention is linear in the values: with no values of its own, only what was added passes through.
    with torch.no_grad():
        both = module(x, positions, 0, None, None, added)
        module.query_key_value.weight[-16:] = 0
        alone = module(x, positions, 0, None, None, added)
    torch.testing.assert_close(both, without + alone, rtol=1e-4, atol=1e-5)
    assert float(alone.abs().max()) > 0.1


@pytest.mark.parametrize("key_value_heads", [1, 2, 4])
@pytest.mark.parametrize("biases", [False, True])
def test_the_module_is_the_formula_in_order(key_value_heads: int, biases: bool) -> None:
    """Project, split into queries, keys and values in this order, normalize, turn, attend, project."""
    torch.manual_seed(3)
    width, heads, head_width = 24, 4, 8
    normalization = NORMALIZATIONS["rms"](1e-6, False)
    module = SelfAttention(
        width, heads, key_value_heads, head_width, biases=biases, head_normalization=normalization, dropout=0.0
    )
    positions = RotaryPositions(16, head_width, 10_000.0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x = torch.randn(2, 6, width)
    weight, bias = module.query_key_value.weight, module.query_key_value.bias
    borders = [heads * head_width, key_value_heads * head_width, key_value_heads * head_width]
    parts = []
    for index, matrix in enumerate(weight.split(borders)):
        part = x @ matrix.T + (bias.split(borders)[index] if biases else 0)
        parts.append(part.unflatten(-1, (-1, head_width)))
    queries, keys, values = parts
    queries = positions.turn(module.query_norm(queries), 0).transpose(1, 2)
    keys = positions.turn(module.key_norm(keys), 0).transpose(1, 2)
    expected = module.output(attend_plainly(queries, keys, values.transpose(1, 2)).transpose(1, 2).flatten(2))
    torch.testing.assert_close(module(x, positions, 0, None), expected, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    module = SelfAttention(16, 2, 2, 8, biases=False, head_normalization=None, dropout=0.5)
    positions, x = RotaryPositions(16, 8, 10_000.0), torch.randn(1, 12, 16)
    module.train()
    assert not torch.equal(module(x, positions, 0, None), module(x, positions, 0, None))
    module.eval()
    assert torch.equal(module(x, positions, 0, None), module(x, positions, 0, None))


def test_cache_returns_everything_so_far_and_knows_its_length() -> None:
    cache = KeyValueCache(layers=2, batch=1, heads=3, capacity=6, head_width=4, like=torch.zeros(1))
    keys, values = torch.randn(2, 1, 3, 6, 4)
    assert cache.length == 0
    for layer in cache.layers:
        layer.append(keys[:, :, :2], values[:, :, :2])
        got_keys, got_values = layer.append(keys[:, :, 2:], values[:, :, 2:])
        assert torch.equal(got_keys, keys)
        assert torch.equal(got_values, values)
    assert cache.length == 6
    cache.clear()
    assert cache.length == 0
    got_keys, _ = cache.layers[0].append(keys[:, :, 3:4], values[:, :, 3:4])
    assert torch.equal(got_keys, keys[:, :, 3:4])


def test_a_full_cache_refuses_and_stays_as_it_was() -> None:
    cache = LayerCache(torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2))
    cache.append(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    with pytest.raises(ValueError, match="holds 3 positions, position 4"):
        cache.append(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert cache.length == 2
    assert float(cache.keys.sum()) == 4.0
