"""A layer whose matrix is held in few bits: it computes as the unpacked matrix does, keeps only what is packed."""

from typing import Any

import pytest
import torch
from torch import nn

from homespun.layers.few_bits import FEW_BITS
from homespun.layers.lora import LoRALinear, adapt, merge_adapters
from homespun.layers.quantized import QuantizedLinear, QuantizedMatrix, dequantize_linears, quantize_linears
from homespun.models.adapter import adapter_of
from homespun.models.registry import build_model
from tests.layers.test_lora import BODIES, PARTS, learned

EVERY = pytest.mark.parametrize("bits", FEW_BITS)


def pair(bits: int, bias: bool = True) -> tuple[LoRALinear, LoRALinear, torch.Tensor]:
    """A difference beside a quantized layer, the same beside the plain layer of the unpacked matrix, and an input."""
    torch.manual_seed(1)
    quantized = QuantizedLinear.from_linear(nn.Linear(37, sum(PARTS), bias=bias), bits)
    layers = []
    for base in (quantized, quantized.dequantize()):
        adapted = nn.ModuleDict({"output": base})
        adapted.matrices = {"output.weight": PARTS}
        assert adapt(adapted, 2, 6.0, 0.0) == 1
        layers.append(adapted["output"])
    ours, plain = layers
    with torch.no_grad():
        plain.down.copy_(ours.down)
    return learned(ours), learned(plain), torch.randn(2, 5, 37, requires_grad=True)


def gradients(layer: LoRALinear, x: torch.Tensor, precision: str) -> list[torch.Tensor]:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        found = layer(x * 1.0)  # no leaf: of a leaf autocast would share its copy, and sum gradients in bf16
    found.float().square().sum().backward()
    assert x.grad is not None and layer.down.grad is not None and layer.up.grad is not None
    grads, x.grad = [found.detach(), x.grad, layer.down.grad, layer.up.grad], None
    return grads


@EVERY
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_output_and_gradients_are_those_of_the_unpacked_matrix(bits: int, bias: bool, precision: str) -> None:
    ours, plain, x = pair(bits, bias)
    for found, wanted in zip(gradients(ours, x, precision), gradients(plain, x, precision), strict=True):
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert not any(parameter.requires_grad for name, parameter in ours.named_parameters() if name in ("weight", "bias"))


@EVERY
def test_only_the_packed_matrix_is_kept_for_the_gradient(bits: int) -> None:
    layer = QuantizedLinear.from_linear(nn.Linear(96, 80), bits)
    x, kept = torch.randn(3, 96, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        layer(x)
    assert [one.data_ptr() for one in kept] == [one.data_ptr() for one in layer.weight.packed]
    assert sum(one.nbytes for one in kept) < 80 * 96 * (bits + 1) / 8
    assert dict(layer.named_parameters()).keys() == {"bias"} and not layer.bias.requires_grad


@EVERY
@pytest.mark.parametrize("bias", [True, False])
def test_merged_it_computes_the_same(bits: int, bias: bool) -> None:
    ours, _, x = pair(bits, bias)
    before = [one.clone() for one in ours.weight.packed]
    merged = ours.merge()
    torch.testing.assert_close(merged(x), ours(x), rtol=0, atol=1e-5)
    assert type(merged) is nn.Linear and all(parameter.requires_grad for parameter in merged.parameters())
    assert all(torch.equal(one, same) for one, same in zip(before, ours.weight.packed, strict=True))


@EVERY
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("layers", ["all", "attention"])
def test_a_whole_model_is_quantized_adapted_and_merged(name: str, layers: str, bits: int) -> None:
    torch.manual_seed(1)
    model = build_model(BODIES[name]).eval()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    model.requires_grad_(False)
    quantize_linears(model, bits)
    tokens = torch.randint(40, (3, 16))
    base = model(tokens)
    matrices = {key for key, part in model.named_modules() if isinstance(part, QuantizedMatrix)}
    # Embeddings, norms, heads and experts stay as they are.
    left = dict(model.named_parameters())
    assert left.keys() == before.keys() - matrices and all(torch.equal(left[key], before[key]) for key in left)
    named = {f"{key}.{one}" for key, owner in model.named_modules() for one in getattr(owner, "matrices", {})}
    assert matrices == {key for key in named if "experts" not in name or ".attention." in key}
    assert adapt(model, 2, 4.0, 0.0, layers) >= 4
    torch.testing.assert_close(model(tokens), base, rtol=0, atol=0)
    for layer in [module for module in model.modules() if isinstance(module, LoRALinear)]:
        learned(layer)
    after, adapter = model(tokens), adapter_of(model)
    assert adapter.differences and {one.tensor for one in adapter.differences} <= matrices
    merged: Any = dequantize_linears(merge_adapters(model))
    assert {key: value.shape for key, value in merged.named_parameters()} == {
        key: value.shape for key, value in before.items()
    }
    torch.testing.assert_close(merged(tokens), after, rtol=0, atol=1e-5)
