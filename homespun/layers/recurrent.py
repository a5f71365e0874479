"""Long short-term memory: activations (B, T, C) in, the same shape out, and the state after the last position.

Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. At each position

    i, f, o = sigmoid(…), g = tanh(…)      each from its own rows of  W x + U h + b
    c <- f c + i g                         the long memory, kept or overwritten channel by channel
    h <- o tanh(c)                         what the layer gives out, and sees again at the next position

The kernel is a part that can be exchanged (``RECURRENCES``, ``homespun.layers.recurrence``).
"""

from collections.abc import Callable

import torch
from torch import nn

from homespun.layers.equal_part import EqualPart
from homespun.layers.recurrence import Recurrent

State = tuple[torch.Tensor, torch.Tensor]  # h and c, (B, C) each
Recurrence = Callable[[torch.Tensor, State, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, State]]
GATES = 4  # input, forget, candidate, output: PyTorch's order


def recur_explicitly(
    x: torch.Tensor, state: State, from_input: torch.Tensor, from_state: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, State]:
    """The formula, position by position; only the products with the input are made at once."""
    hidden, memory = state
    drives = nn.functional.linear(x, from_input, bias)  # (B, T, 4C)
    outputs = []
    for drive in drives.unbind(1):
        gates = drive + nn.functional.linear(hidden, from_state)  # (B, 4C)
        take, keep, candidate, give = gates.chunk(GATES, dim=-1)
        memory = keep.sigmoid() * memory + take.sigmoid() * candidate.tanh()
        hidden = give.sigmoid() * memory.tanh()
        outputs.append(hidden)
    return torch.stack(outputs, dim=1), (hidden, memory)


def recur(
    x: torch.Tensor, state: State, from_input: torch.Tensor, from_state: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, State]:
    """The same by PyTorch's fused kernel, which wants the bias in two parts."""
    weights = [from_input, from_state, bias, torch.zeros_like(bias)]
    started = [part.unsqueeze(0) for part in state]
    out, hidden, memory = torch.lstm(x, started, weights, True, 1, 0.0, False, False, True)
    return out, (hidden[0], memory[0])


RECURRENCES: dict[str, Recurrence] = {"fused": recur, "explicit": recur_explicitly}


class LSTMLayer(EqualPart, Recurrent):
    """One layer: width C in, width C out."""

    kernels = RECURRENCES

    def __init__(self, width: int) -> None:
        super().__init__()
        self.recur = recur
        self.width = width
        self.from_input = nn.Parameter(torch.empty(GATES * width, width))
        self.from_state = nn.Parameter(torch.empty(GATES * width, width))
        self.bias = nn.Parameter(torch.empty(GATES * width))
        self.matrices = {"from_input": (width,) * GATES, "from_state": (width,) * GATES}

    def forward(self, x: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Activations (B, T, C) and the state before them (None: a text begins) -> (B, T, C) and the state after."""
        if state is None:
            state = (x.new_zeros(len(x), self.width), x.new_zeros(len(x), self.width))
        return self.recur(x, state, self.from_input, self.from_state, self.bias)
