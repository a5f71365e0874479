"""Feed-forward layers: each position on its own, (B, T, C) in, the same shape out.

``gelu``    two matrices around a GELU (Hendrycks & Gimpel 2016), in GPT-2's tanh form.
``gelu_exact``  the same with the exact GELU (BERT, the vision transformer).
``relu``    two matrices around a ReLU (Vaswani et al. 2017, section 3.3).
``relu2``   two matrices around a squared ReLU (So et al. 2021, "Primer").
``swish``   two matrices around x sigmoid(x) (Ramachandran et al. 2017), as in Marian.
``swiglu``  Shazeer 2020, "GLU Variants Improve Transformer": a SiLU gate times a linear path.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn


def gelu(x: torch.Tensor) -> torch.Tensor:
    """GPT-2's form of GELU."""
    return nn.functional.gelu(x, approximate="tanh")


def squared_relu(x: torch.Tensor) -> torch.Tensor:
    """Zero below zero, a parabola above."""
    return nn.functional.relu(x).square()


class PlainFeedForward(nn.Module):
    """Widen, bend, narrow."""

    def __init__(self, width: int, hidden: int, *, biases: bool, bend: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.bend = bend
        self.widen = nn.Linear(width, hidden, bias=biases)
        self.output = nn.Linear(hidden, width, bias=biases)
        self.matrices = {"widen.weight": (hidden,), "output.weight": (width,)}
        self.divided = {"widen": "outputs", "output": "inputs"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.bend(self.widen(x)))


class SwiGLUFeedForward(nn.Module):
    """Widen twice, let one path gate the other, narrow. Gate and path are one matrix, for speed."""

    def __init__(self, width: int, hidden: int, *, biases: bool) -> None:
        super().__init__()
        self.gate_and_widen = nn.Linear(width, 2 * hidden, bias=biases)
        self.output = nn.Linear(hidden, width, bias=biases)
        self.matrices = {"gate_and_widen.weight": (hidden, hidden), "output.weight": (width,)}
        self.divided = {"gate_and_widen": "outputs", "output": "inputs"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, path = self.gate_and_widen(x).chunk(2, dim=-1)
        return self.output(nn.functional.silu(gate) * path)


FEEDFORWARDS: dict[str, Callable[..., nn.Module]] = {
    "gelu": partial(PlainFeedForward, bend=gelu),
    "gelu_exact": partial(PlainFeedForward, bend=nn.functional.gelu),
    "relu": partial(PlainFeedForward, bend=nn.functional.relu),
    "swish": partial(PlainFeedForward, bend=nn.functional.silu),
    "relu2": partial(PlainFeedForward, bend=squared_relu),
    "swiglu": SwiGLUFeedForward,
}
