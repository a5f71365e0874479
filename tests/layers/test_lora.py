"""Low-rank differences: nothing at first, what the paper writes afterwards, and one linear layer when merged."""

import pytest
import torch
from torch import nn

from homespun.layers.attention import AttentionLayer
from homespun.layers.experts import Experts
from homespun.layers.lora import LoRALinear, adapt, merge_adapters
from homespun.models.adapter import adapter_of, merge
from homespun.models.registry import build_model
from homespun.models.settings import BERTConfig, GPTConfig, LSTMConfig, RWKVConfig

PARTS = (12, 4, 4)


def learned(layer: LoRALinear) -> LoRALinear:
    """As after some training."""
    with torch.no_grad():
        layer.up.normal_(std=0.1, generator=torch.Generator().manual_seed(3))
    return layer


def example(bias: bool = True) -> tuple[nn.Linear, LoRALinear, torch.Tensor]:
    torch.manual_seed(1)
    base = nn.Linear(10, sum(PARTS), bias=bias)
    return base, LoRALinear.from_base(base, 3, 6.0, parts=PARTS), torch.randn(2, 5, 10)


@pytest.mark.parametrize("bias", [True, False])
def test_at_first_it_is_the_base(bias: bool) -> None:
    base, layer, x = example(bias)
    torch.testing.assert_close(layer(x), base(x), rtol=0, atol=0)


def test_each_part_is_a_difference_of_its_own() -> None:
    base, layer, x = example()
    learned(layer)
    for number, (rows, plain, found) in enumerate(
        zip(layer.up.split(PARTS), base(x).split(PARTS, -1), layer(x).split(PARTS, -1), strict=True)
    ):
        down = layer.down[3 * number : 3 * number + 3]
        wanted = plain + 6.0 / 3 * (x @ down.T @ rows.T)  # W x + alpha / r B A x
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("bias", [True, False])
def test_merged_it_computes_the_same(bias: bool) -> None:
    _, layer, x = example(bias)
    learned(layer)
    before = layer.weight.clone()
    merged = layer.merge()
    torch.testing.assert_close(merged(x), layer(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(layer.weight, before, rtol=0, atol=0)  # and taken out again it is the base
    torch.testing.assert_close(merged.weight - layer.difference(), before)
    assert all(parameter.requires_grad for parameter in merged.parameters())


def test_dropout_is_before_the_difference_alone() -> None:
    base = nn.Linear(10, 6)
    layer = learned(LoRALinear.from_base(base, 2, 2.0, dropout=0.999999))
    x = torch.randn(4, 10)
    torch.testing.assert_close(layer.train()(x), base(x))
    assert not torch.allclose(layer.eval()(x), base(x))


BODIES = {
    "gpt": GPTConfig(vocabulary_size=40, context=16, layers=2, width=32, heads=4, key_value_heads=2),
    "gpt, experts": GPTConfig(vocabulary_size=40, context=16, layers=2, width=32, heads=4, experts=4),
    "bert": BERTConfig(vocabulary_size=40, context=16, layers=2, width=32),
    "rwkv": RWKVConfig(vocabulary_size=40, context=16, layers=2, width=32),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("layers", ["all", "attention"])
def test_a_whole_model_is_adapted_and_merged(name: str, layers: str) -> None:
    torch.manual_seed(1)
    model = build_model(BODIES[name]).eval()
    names = {key for key, _ in model.named_parameters()}
    tokens = torch.randint(40, (3, 16))
    before = model(tokens)
    model.requires_grad_(False)
    assert adapt(model, 2, 4.0, 0.0, layers) >= 4
    torch.testing.assert_close(model(tokens), before)
    adapted = [module for module in model.modules() if isinstance(module, LoRALinear)]
    for layer in adapted:
        learned(layer)
    # The base's own parameters keep their names, so that its checkpoint fits; only what is new learns.
    new = {key for key, _ in model.named_parameters()} - names
    assert names <= {key for key, _ in model.named_parameters()}
    assert new == {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(key.endswith((".up", ".down")) for key in new)
    after = model(tokens)
    assert not torch.allclose(after, before, atol=1e-3)
    # Told as differences of named matrices and added to the base's, they are the same weights.
    base = {key: value.detach() for key, value in model.named_parameters() if key in names}
    added = merge(base, adapter_of(model))
    merged = merge_adapters(model)
    for key, value in merged.named_parameters():
        torch.testing.assert_close(added[key], value.detach(), rtol=0, atol=1e-6)
    assert {key for key, _ in merged.named_parameters()} == names
    torch.testing.assert_close(merged(tokens), after, rtol=0, atol=1e-5)


def test_fused_matrices_have_a_difference_for_each_part() -> None:
    model = build_model(BODIES["gpt"])
    adapt(model, 2, 4.0, 0.0)
    attention = next(module for module in model.modules() if isinstance(module, AttentionLayer))
    assert attention.query_key_value.parts == (32, 16, 16) and attention.query_key_value.down.shape == (6, 32)


def test_experts_and_what_would_not_become_smaller_are_left_alone() -> None:
    model = build_model(BODIES["gpt, experts"])
    adapt(model, 2, 4.0, 0.0)
    experts = next(module for module in model.modules() if isinstance(module, Experts))
    assert isinstance(experts.gate_and_widen, nn.Linear)
    assert adapt(build_model(BODIES["bert"]), 31, 4.0, 0.0) == 0
    assert adapt(build_model(LSTMConfig(vocabulary_size=40, context=16, layers=1, width=32)), 2, 4.0, 0.0) == 0
