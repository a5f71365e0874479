"""Feed-forward layers: each position on its own, (B, T, C) in, the same shape out.

``gelu``    two matrices around a GELU (Hendrycks & Gimpel 2016), in GPT-2's tanh form.
``swiglu``  Shazeer 2020, "GLU Variants Improve Transformer": a SiLU gate times a linear path.
"""

from collections.abc import Callable

import torch
from torch import nn


class GELUFeedForward(nn.Module):
    """Widen, bend, narrow."""

    def __init__(self, width: int, hidden: int, *, biases: bool) -> None:
        super().__init__()
        self.widen = nn.Linear(width, hidden, bias=biases)
        self.output = nn.Linear(hidden, width, bias=biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(nn.functional.gelu(self.widen(x), approximate="tanh"))


class SwiGLUFeedForward(nn.Module):
    """Widen twice, let one path gate the other, narrow. Gate and path are one matrix, for speed."""

    def __init__(self, width: int, hidden: int, *, biases: bool) -> None:
        super().__init__()
        self.gate_and_widen = nn.Linear(width, 2 * hidden, bias=biases)
        self.output = nn.Linear(hidden, width, bias=biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, path = self.gate_and_widen(x).chunk(2, dim=-1)
        return self.output(nn.functional.silu(gate) * path)


FEEDFORWARDS: dict[str, Callable[..., nn.Module]] = {"gelu": GELUFeedForward, "swiglu": SwiGLUFeedForward}
