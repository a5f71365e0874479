"""The layers of RWKV-7: activations (B, T, C) in, the same shape out, and what is carried to the next position.

Peng et al. 2025, "RWKV-7 Goose with Expressive Dynamic State Evolution", section 4 and appendix; what the paper leaves
to the code follows the authors' (https://github.com/BlinkDL/RWKV-LM, RWKV-v7, "x070").

``TimeMixing`` stands where a transformer has attention: it writes values under keys into one matrix per head and reads
from it (``homespun.layers.delta_rule``). ``ChannelMixing`` is its feed-forward layer. Both see each position mixed with
the one before it. The values of the first layer are offered to all later ones (Zhou et al. 2024, "Value Residual
Learning").

Shapes: B batch, T positions in this call, C width, H heads, D channels of a head.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from homespun.layers.delta_rule import DELTA_RULES
from homespun.layers.equal_part import EqualPart
from homespun.layers.feedforward import squared_relu
from homespun.layers.recurrence import Recurrent

FASTEST_DECAY = math.exp(-0.5)  # of the logarithm of a channel, at one position
HEAD_NORM_EPSILON = 64e-5
MIXED = ("receptance", "decay", "key", "value", "rate", "gate")  # what each reads its own mix of two positions


class BlockState(NamedTuple):
    """What one block carries on: for both of its layers the position before (B, C), as they saw it, normalized.

    ``memory`` (B, H, D, D): values by keys, in fp32.
    """

    before_time: torch.Tensor
    memory: torch.Tensor
    before_channels: torch.Tensor


def before(x: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
    """For each position (B, T, C) the one before it; before the first comes ``last`` (B, C), or nothing."""
    if last is None:
        return nn.functional.pad(x[:, :-1], (0, 0, 1, 0))
    return torch.cat((last.to(x.dtype).unsqueeze(1), x[:, :-1]), dim=1)


class LowRank(nn.Module):
    """Two thin matrices, C channels to ``rank`` and to C again: a small correction that depends on the token."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, rank, bias=False)
        self.widen = nn.Linear(rank, width, bias=False)
        self.matrices = {"narrow.weight": (rank,), "widen.weight": (width,)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.widen(self.narrow(x))


class TimeMixing(Recurrent):
    """Decay, remove, write, read: one matrix of D x D per head carries the whole text."""

    kernels = DELTA_RULES

    def __init__(
        self, width: int, head_width: int, *, decay_rank: int, rate_rank: int, value_rank: int, gate_rank: int
    ) -> None:
        """``value_rank`` 0: the first layer, whose own values are those of the first layer."""
        super().__init__()
        self.recur = DELTA_RULES["fused"]
        self.heads = width // head_width
        self.head_width = head_width
        self.shares = nn.ParameterDict({name: torch.empty(width) for name in MIXED})  # of the position before
        self.receptance = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.decay = LowRank(width, decay_rank)
        self.decay_offset = nn.Parameter(torch.empty(width))
        self.rate = LowRank(width, rate_rank)
        self.rate_offset = nn.Parameter(torch.empty(width))
        self.first_value = LowRank(width, value_rank) if value_rank else None
        self.first_value_offset = nn.Parameter(torch.empty(width)) if value_rank else None
        self.gate = LowRank(width, gate_rank)
        self.removal_scale = nn.Parameter(torch.empty(width))
        self.rate_in_key = nn.Parameter(torch.empty(width))
        self.bonus = nn.Parameter(torch.empty(width))
        self.head_norm = nn.GroupNorm(self.heads, width, HEAD_NORM_EPSILON)
        self.matrices = {f"{name}.weight": (width,) for name in ("receptance", "key", "value", "output")}

    def forward(
        self, x: torch.Tensor, first_values: torch.Tensor | None, state: BlockState | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``first_values`` (B, T, C): those of the first layer, None in it. ``state`` None: a text begins.

        Returns what to add (B, T, C), the values of the first layer, and the memory (B, H, D, D) after.
        """
        shares = torch.stack([self.shares[name] for name in MIXED])[:, None, None]  # (6, 1, 1, C)
        mixed = torch.lerp(x, before(x, state.before_time if state else None), shares)  # (6, B, T, C)
        for_receptance, for_decay, for_key, for_value, for_rate, for_gate = mixed.unbind()

        receptance, key, value = self.receptance(for_receptance), self.key(for_key), self.value(for_value)
        decay = self.decay.widen(self.decay.narrow(for_decay).tanh())
        log_decay = -FASTEST_DECAY * (self.decay_offset + decay).sigmoid()
        rate = (self.rate_offset + self.rate(for_rate)).sigmoid()
        gate = self.gate.widen(self.gate.narrow(for_gate).sigmoid())
        first_values = value if first_values is None else first_values
        if self.first_value is not None:
            trust = (self.first_value_offset + self.first_value(for_value)).sigmoid()
            value = value + (first_values - value) * trust

        removal = nn.functional.normalize(self.split(key * self.removal_scale), dim=-1, eps=1e-12)
        key = key * (1 + (rate - 1) * self.rate_in_key)
        receptance, key, value = self.split(receptance), self.split(key), self.split(value)
        memory = state.memory if state else x.new_zeros(len(x), self.heads, self.head_width, self.head_width)
        read, memory = self.recur(receptance, self.split(log_decay), key, value, removal, self.split(rate), memory)

        normalized = self.head_norm(read.flatten(2).flatten(0, 1)).view_as(x)
        bonus = (receptance * key * self.split(self.bonus)).sum(dim=-1, keepdim=True) * value  # (B, T, H, D)
        return self.output((normalized + bonus.flatten(2)) * gate), first_values, memory

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(…, C) -> (…, H, D)."""
        return x.unflatten(-1, (self.heads, self.head_width))


class ChannelMixing(nn.Module):
    """Two matrices around a squared ReLU, seeing each position mixed with the one before it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.empty(width))  # of the position before
        self.key = nn.Linear(width, hidden, bias=False)
        self.value = nn.Linear(hidden, width, bias=False)
        self.matrices = {"key.weight": (hidden,), "value.weight": (width,)}

    def forward(self, x: torch.Tensor, last: torch.Tensor | None) -> torch.Tensor:
        """``last`` (B, C): the position before this call; None: a text begins."""
        mixed = torch.lerp(x, before(x, last), self.share)
        return self.value(squared_relu(self.key(mixed)))


class RWKVBlock(EqualPart):
    """Normalize, mix positions, add; normalize, mix channels, add."""

    def __init__(self, width: int, epsilon: float, time: TimeMixing, channels: ChannelMixing, dropout: float) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm(width, epsilon)
        self.time = time
        self.channel_norm = nn.LayerNorm(width, epsilon)
        self.channels = channels
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: torch.Tensor, first_values: torch.Tensor | None, state: BlockState | None
    ) -> tuple[torch.Tensor, torch.Tensor, BlockState]:
        """Activations (B, T, C), values of the first block (None in it), state (None: a text begins) -> the same."""
        seen_by_time = self.time_norm(x)
        mixed, first_values, memory = self.time(seen_by_time, first_values, state)
        x = x + self.dropout(mixed)
        seen_by_channels = self.channel_norm(x)
        x = x + self.dropout(self.channels(seen_by_channels, state.before_channels if state else None))
        return x, first_values, BlockState(seen_by_time[:, -1], memory, seen_by_channels[:, -1])
