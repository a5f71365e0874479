"""Long short-term memory: activations (B, T, C) in, the same shape out, and the state after the last position.

Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. At each position

    i, f, o = sigmoid(…), g = tanh(…)      each from its own rows of  W x + U h + b
    c <- f c + i g                         the long memory, kept or overwritten channel by channel
    h <- o tanh(c)                         what the layer gives out, and sees again at the next position

The kernel is a part that can be exchanged (``RECURRENCES``, ``homespun.layers.recurrence``).

Shapes: B batch, T positions, C channels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from homespun.layers.equal_part import EqualPart
from homespun.layers.recurrence import Recurrent

State = tuple[torch.Tensor, torch.Tensor]  # h and c, (B, C) each
Recurrence = Callable[[torch.Tensor, State, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, State]]
GATES = 4  # input, forget, candidate, output: PyTorch's order


def recur(
    x: torch.Tensor, state: State, from_input: torch.Tensor, from_state: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, State]:
    """By PyTorch's fused kernel, which wants the bias in two parts."""
    weights = [from_input, from_state, bias, torch.zeros_like(bias)]
    started = [part.unsqueeze(0) for part in state]
    out, hidden, memory = torch.lstm(x, started, weights, True, 1, 0.0, False, False, True)
    return out, (hidden[0], memory[0])


def recur_explicitly(
    x: torch.Tensor, state: State, from_input: torch.Tensor, from_state: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, State]:
    """The formula, position by position; only the products with the input are made at once."""
    drives = nn.functional.linear(x, from_input, bias)  # (B, T, 4C)
    out, memory = ThroughTime.apply(drives, *state, from_state)
    return out, (out[:, -1], memory)


class ThroughTime(torch.autograd.Function):
    """The walk through time, and back (Werbos 1990, "Backpropagation through time").

    Autograd could do the way back, but it would add to the gradient of the matrix at every position. Here the
    gradients of all gates are kept, and the matrix gets its own in one product at the end. With d for the derivative
    of the loss, and ``'`` for the position after:

        dh = what comes from outside + d(gates') U      d(gates): before they were bent, where W x + U h + b stands
        dc = f' dc' + dh o (1 - tanh(c)^2)
        d(gates) = dc g i (1 - i),  dc c_before f (1 - f),  dc i (1 - g^2),  dh tanh(c) o (1 - o)
        dU = the sum of d(gates) h_before over all positions

    In the code ``take``, ``keep``, ``candidate`` and ``give`` are i, f, g and o. Products are made in the type of
    ``drives``, all else in fp32.
    """

    @staticmethod
    def forward(
        ctx: Any, drives: torch.Tensor, hidden: torch.Tensor, memory: torch.Tensor, from_state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Drives (B, T, 4C), state (B, C) twice, matrix (4C, C) -> h at all positions (B, T, C), c after the last."""
        batch, length, width = *drives.shape[:2], hidden.shape[-1]
        matrix, numbers = from_state.to(drives.dtype), memory.float()
        gates = numbers.new_empty(length, batch, GATES, width)
        memories, bent = numbers.new_empty(1 + length, batch, width), numbers.new_empty(length, batch, width)
        outputs = drives.new_empty(1 + length, batch, width)
        memories[0], outputs[0] = memory, hidden
        for step in range(length):
            driven = torch.addmm(drives[:, step], outputs[step], matrix.T).float().view(batch, GATES, width)
            take, keep, candidate, give = torch.sigmoid(driven, out=gates[step]).unbind(1)  # (B, C) each
            torch.tanh(driven[:, 2], out=candidate)
            torch.mul(keep, memories[step], out=memories[step + 1]).addcmul_(take, candidate)
            torch.tanh(memories[step + 1], out=bent[step])
            torch.mul(give, bent[step], out=outputs[step + 1])
        ctx.save_for_backward(gates, memories, bent, outputs, matrix)
        return outputs[1:].transpose(0, 1), memories[-1]

    @staticmethod
    def backward(ctx: Any, *of_outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The gradients of the four inputs, from those of both outputs."""
        out_gradient, memory_gradient = of_outputs
        gates, memories, bent, outputs, matrix = ctx.saved_tensors
        take, keep, candidate, give = gates.unbind(2)  # (T, B, C) each
        slope = give * (1 - bent.square())  # of h by c
        slopes = torch.stack(  # of c by the first three gates before they were bent, of h by the fourth: (T, B, 4, C)
            (
                candidate * take * (1 - take),
                memories[:-1] * keep * (1 - keep),
                take * (1 - candidate.square()),
                bent * give * (1 - give),
            ),
            dim=2,
        )
        gradients = slopes.to(matrix.dtype)  # of the gates before they were bent, filled from the end
        memory_gradient = memory_gradient.clone()
        hidden_gradient = torch.zeros_like(memory_gradient)
        for step in reversed(range(len(gates))):
            hidden_gradient = hidden_gradient + out_gradient[:, step]
            memory_gradient.addcmul_(hidden_gradient, slope[step])
            torch.mul(memory_gradient.unsqueeze(1), slopes[step, :, :-1], out=gradients[step, :, :-1])
            torch.mul(hidden_gradient, slopes[step, :, -1], out=gradients[step, :, -1])
            hidden_gradient = gradients[step].flatten(1) @ matrix
            memory_gradient.mul_(keep[step])
        by_gate = gradients.flatten(2)  # (T, B, 4C)
        matrix_gradient = by_gate.flatten(0, 1).T @ outputs[:-1].flatten(0, 1)
        return by_gate.transpose(0, 1), hidden_gradient.float(), memory_gradient, matrix_gradient.float()


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
