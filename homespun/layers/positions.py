"""Where a token stands: learned or sinusoidal position embeddings, or rotation of queries and keys.

Every scheme answers the same two calls, so that a model does not ask which one it has:
``add(x, start)`` at the input, on token embeddings (B, T, C), and ``turn(heads, start)`` inside
attention, on queries or keys (B, T, H, D). ``start`` is the position of the first of the T tokens
(0 in training, the length of the cache in decoding).
"""

from typing import Protocol

import torch
from torch import nn

SLOWEST = 10_000.0  # of the sinusoidal waves the last is nearly this many times 2 pi long


class Positions(Protocol):
    """What every scheme answers."""

    def add(self, x: torch.Tensor, start: int) -> torch.Tensor: ...

    def turn(self, heads: torch.Tensor, start: int) -> torch.Tensor: ...


def check_in_context(stop: int, context: int) -> None:
    """``ValueError`` beyond the last position: an empty slice of a table would make empty activations, silently."""
    if stop > context:
        raise ValueError(f"there are {context} positions, position {stop} was asked for")


class LearnedPositions(nn.Module):
    """One learned vector per position, added to the token embedding (GPT-1, GPT-2)."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(context, width))

    def add(self, x: torch.Tensor, start: int) -> torch.Tensor:  # (B, T, C) -> (B, T, C)
        check_in_context(start + x.shape[1], len(self.weight))
        return x + self.weight[start : start + x.shape[1]]

    def turn(self, heads: torch.Tensor, start: int) -> torch.Tensor:
        return heads


class SinusoidalPositions(nn.Module):
    """Waves of growing length, added to the token embedding (Vaswani et al. 2017, section 3.5).

    Wave i of width/2 has the angle ``position * 10000^(-2i/width)``. The paper writes sine and cosine of a wave side by
    side; here all sines come first and then all cosines, as in tensor2tensor and Marian: the same up to the order of
    channels, which the model learns anyway. Nothing is learned; ``context`` positions are worked out.
    """

    table: torch.Tensor  # (context, C)

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        frequency = SLOWEST ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)  # (C/2)
        angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency)  # (context, C/2)
        table = torch.cat([angle.sin(), angle.cos()], -1)[:, :width].float()  # of an odd width the last cosine goes
        self.register_buffer("table", table, persistent=False)

    def add(self, x: torch.Tensor, start: int) -> torch.Tensor:  # (B, T, C) -> (B, T, C)
        check_in_context(start + x.shape[1], len(self.table))
        return x + self.table[start : start + x.shape[1]]

    def turn(self, heads: torch.Tensor, start: int) -> torch.Tensor:
        return heads


class RotaryPositions(nn.Module):
    """Rotate pairs of channels by an angle that grows with the position.

    Su et al. 2021, "RoFormer", section 3.4, so that a query-key product depends on the distance
    alone. Channel i is paired with channel i + D/2 (the layout of Llama and Qwen), and turns by
    ``position * base^(-2i/D)``.
    """

    cosine: torch.Tensor  # (context, 1, D)
    sine: torch.Tensor  # (context, 1, D), the first half negated

    def __init__(self, context: int, head_width: int, base: float) -> None:
        super().__init__()
        frequency = base ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)  # (D/2)
        angle = torch.outer(torch.arange(context, dtype=torch.float32), frequency)  # (context, D/2)
        cosine, sine = angle.cos(), angle.sin()
        self.register_buffer("cosine", torch.cat([cosine, cosine], -1).unsqueeze(1), persistent=False)
        self.register_buffer("sine", torch.cat([-sine, sine], -1).unsqueeze(1), persistent=False)

    def add(self, x: torch.Tensor, start: int) -> torch.Tensor:
        return x

    def turn(self, heads: torch.Tensor, start: int) -> torch.Tensor:  # (B, T, H, D) -> (B, T, H, D)
        stop = start + heads.shape[1]
        check_in_context(stop, len(self.cosine))
        cosine = self.cosine[start:stop].to(heads.dtype)
        sine = self.sine[start:stop].to(heads.dtype)
        half = heads.shape[-1] // 2
        swapped = torch.cat([heads[..., half:], heads[..., :half]], dim=-1)
        return heads * cosine + swapped * sine
