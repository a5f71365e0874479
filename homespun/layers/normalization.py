"""Normalization: activations (…, C) in, the same shape out, at unit scale times a learned gain.

``rms``    RMSNorm, Zhang & Sennrich 2019, "Root Mean Square Layer Normalization": x / rms(x) * gain.
``layer``  LayerNorm, Ba et al. 2016: (x - mean) / std * gain + bias.

A model names one of ``NORMALIZATIONS``; the choice is made once, where the model is built.
"""

from collections.abc import Callable

import torch
from torch import nn

Normalization = Callable[[int], nn.Module]


class RMSNorm(nn.Module):
    """Scale each vector to a root mean square of one, then by a learned gain per channel."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (…, C) -> (…, C)
        # Under mixed precision queries and keys arrive in bfloat16; a gain of another type has no fused kernel.
        return nn.functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)


def rms(epsilon: float, biases: bool) -> Normalization:
    """A maker of RMSNorm layers; RMSNorm has no bias in any published model."""
    return lambda width: RMSNorm(width, epsilon)


def layer(epsilon: float, biases: bool) -> Normalization:
    """A maker of LayerNorm layers."""
    return lambda width: nn.LayerNorm(width, epsilon, bias=biases)


NORMALIZATIONS: dict[str, Callable[[float, bool], Normalization]] = {"rms": rms, "layer": layer}
