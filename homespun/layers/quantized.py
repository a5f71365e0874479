"""A linear layer whose matrix is held in 8 or 4 bits: activations (…, C) in, (…, R) out; the matrix does not learn.

QLoRA (Dettmers et al. 2023, section 3, equation 5): the matrix is unpacked for one product and forgotten. Between
forward and backward pass autograd keeps the packed form alone, and backward unpacks it again, so that at no time more
than one matrix is there in full. How numbers are packed is a part: ``homespun.layers.few_bits``.
"""

from typing import Any

import torch
from torch import nn

from homespun.layers.few_bits import FEW_BITS, FewBits
from homespun.layers.linears import linears


class Product(torch.autograd.Function):
    """``x W^T + b`` with the gradient of x alone."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, bias: torch.Tensor | None, form: FewBits, shape: torch.Size, *packed: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(*packed)
        ctx.form, ctx.shape = form, shape
        return nn.functional.linear(x, form.unpack(packed, shape), bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:  # pyrefly: ignore
        (gradient,) = gradients
        matrix = ctx.form.unpack(ctx.saved_tensors, ctx.shape)
        return gradient @ matrix.to(gradient.dtype), None, None, None, *(None for _ in ctx.saved_tensors)


class QuantizedMatrix(nn.Module):
    """A matrix (R, C) in ``bits`` bits, packed in buffers. Where others have a parameter, it answers like one."""

    requires_grad = False

    def __init__(self, matrix: torch.Tensor, bits: int) -> None:
        super().__init__()
        self.form = FEW_BITS[bits]
        self.shape = matrix.shape
        for name, tensor in zip(self.form.names, self.form.pack(matrix), strict=True):
            self.register_buffer(name, tensor)

    @property
    def packed(self) -> tuple[torch.Tensor, ...]:
        """All that is held of it."""
        return tuple(self.get_buffer(name) for name in self.form.names)

    @property
    def device(self) -> torch.device:
        return self.packed[0].device

    def dequantize(self) -> torch.Tensor:
        """(R, C) in fp32: that with which ``forward`` multiplies."""
        return self.form.unpack(self.packed, self.shape)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return Product.apply(x, bias, self.form, self.shape, *self.packed)


class QuantizedLinear(nn.Module):
    """``weight`` (R, C) packed, ``bias`` (R) in full; both are held still."""

    def __init__(self, weight: QuantizedMatrix, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    @classmethod
    def from_linear(cls, linear: nn.Linear, bits: int) -> "QuantizedLinear":
        """In the place of a layer, whose own bias is held still."""
        return cls(QuantizedMatrix(linear.weight, bits), linear.requires_grad_(False).bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight(x, self.bias)

    @torch.no_grad()
    def dequantize(self) -> nn.Linear:
        """A plain layer that computes the same."""
        return plain_linear(self.weight.dequantize(), self.bias)


def plain_linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    """A layer of this matrix (R, C), and of a copy of this bias (R)."""
    rows, columns = weight.shape
    layer = nn.Linear(columns, rows, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def quantize_linears(model: nn.Module, bits: int) -> None:
    """The matrices of a model's blocks are held in so many bits from now on; one after the other, in place."""
    for place in linears(model):
        if isinstance(place.layer, nn.Linear):
            setattr(place.owner, place.name, QuantizedLinear.from_linear(place.layer, bits))


def dequantize_linears(model: nn.Module) -> nn.Module:
    """They are plain linear layers again, which compute the same; the model."""
    for place in linears(model):
        if isinstance(place.layer, QuantizedLinear):
            setattr(place.owner, place.name, place.layer.dequantize())
    return model
