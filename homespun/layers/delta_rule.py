"""The generalized delta rule of RWKV-7: how one matrix per head remembers a text of any length.

Peng et al. 2025, "RWKV-7 Goose with Expressive Dynamic State Evolution", section 4.1. The state S maps keys to values.
At each position it decays channel by channel, what it holds under the removal key is taken out by a rate of its own in
each channel, and a new value is written under a new key:

    S_t = S_{t-1} (diag(w_t) - q_t^T (a_t * q_t)) + v_t^T k_t          y_t = S_t r_t

with decay w, removal key q (of length one; the paper's kappa-hat), rate a, value v, key k, receptance r.

``follow_explicitly`` does that. ``follow_in_chunks`` writes u_t = -S_{t-1} q_t for what is taken out; then within a
chunk, seen from the state S_0 before it and with W_t the product of all decays up to t,

    S_t = (S_0 + sum_{i<=t} u_i^T (a_i q_i / W_i) + v_i^T (k_i / W_i)) diag(W_t)

and the u of a chunk solve one small triangular system (Bischof & Van Loan 1987's WY form; Yang et al. 2024,
"Parallelizing Linear Transformers with the Delta Rule"). All chunks do so at once; only their states wait for one
another.

Shapes: B batch, T positions, H heads, D channels of a head; N chunks of L positions.
"""

from collections.abc import Callable

import torch
from torch import nn

# A channel keeps at least exp(-exp(-1/2)) = 0.545 of itself at a step, so 1 / W stays below 17,000 in 16 of them.
CHUNK = 16

Followed = tuple[torch.Tensor, torch.Tensor]
DeltaRule = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], Followed
]


def follow_explicitly(
    receptance: torch.Tensor,
    log_decay: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    removal: torch.Tensor,
    rate: torch.Tensor,
    state: torch.Tensor,
) -> Followed:
    """All (B, T, H, D), state (B, H, D values, D keys) -> what was read (B, T, H, D) and the state after; in fp32."""
    receptance, log_decay, key, value, removal, rate = (
        part.float() for part in (receptance, log_decay, key, value, removal, rate)
    )
    state, reads = state.float(), []
    with torch.autocast(state.device.type, enabled=False):
        parts = (receptance, log_decay.exp(), key, value, removal, rate * removal)
        for asked, kept, under, new, removed, shares in zip(*(part.unbind(1) for part in parts), strict=True):
            found = state @ removed.unsqueeze(-1)  # (B, H, D, 1)
            state = state * kept.unsqueeze(-2) - found * shares.unsqueeze(-2) + new.unsqueeze(-1) * under.unsqueeze(-2)
            reads.append((state @ asked.unsqueeze(-1)).squeeze(-1))
    return torch.stack(reads, dim=1), state


def follow_in_chunks(
    receptance: torch.Tensor,
    log_decay: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    removal: torch.Tensor,
    rate: torch.Tensor,
    state: torch.Tensor,
) -> Followed:
    """The same by chunks of positions, all of them at once but for the states between them."""
    batch, length, heads, width = receptance.shape
    if length == 1:
        return follow_explicitly(receptance, log_decay, key, value, removal, rate, state)
    chunks = -(-length // CHUNK)
    parts = (receptance, log_decay, key, value, removal, rate)
    receptance, log_decay, key, value, removal, rate = (into_chunks(part.float(), chunks) for part in parts)
    with torch.autocast(state.device.type, enabled=False):
        until = log_decay.cumsum(dim=-2)  # (N, BH, L, D), logarithms of W
        since = (-until).exp()
        removed = removal * (until - log_decay).exp()  # the state has not decayed yet where it is asked what to remove
        asked = receptance * until.exp()
        written = torch.cat((rate * removal, key), dim=-2) * torch.cat((since, since), dim=-2)  # (N, BH, 2L, D)
        scores = torch.cat((removed, asked), dim=-2) @ written.mT  # (N, BH, 2L, 2L)
        scores = scores * reach(scores)
        by_removals, by_reads = scores.split(CHUNK, dim=-2)
        taken_out, put_in = by_removals.split(CHUNK, dim=-1)
        # u = from_state S_0^T + from_values, by forward substitution
        wanted = torch.cat((removed, put_in @ value), dim=-1)
        solved = torch.linalg.solve_triangular(taken_out, -wanted, upper=False, unitriangular=True)
        from_state, from_values = solved.split(width, dim=-1)
        values = torch.cat((from_values, value), dim=-2)  # (N, BH, 2L, D)
        kept = until[..., -1:, :].exp()  # (N, BH, 1, D), the decay of a whole chunk
        identity = torch.eye(width, device=state.device)
        carried = (identity + from_state.mT @ written[..., :CHUNK, :]) * kept  # (N, BH, D, D)
        added = (values.mT @ written) * kept
        before, states = state.float().flatten(0, 1), []
        for carry, add in zip(carried, added, strict=True):
            states.append(before)
            before = torch.baddbmm(add, before, carry)
        reads = (asked + by_reads[..., :CHUNK] @ from_state) @ torch.stack(states).mT + by_reads @ values
    reads = reads.view(chunks, batch, heads, CHUNK, width).permute(1, 0, 3, 2, 4)
    return reads.reshape(batch, chunks * CHUNK, heads, width)[:, :length], before.view(batch, heads, width, width)


def into_chunks(part: torch.Tensor, chunks: int) -> torch.Tensor:
    """(B, T, H, D) -> (N, BH, L, D); positions added at the end are zeros, which leave a state as it is."""
    batch, length, heads, width = part.shape
    padded = nn.functional.pad(part, (0, 0, 0, 0, 0, chunks * CHUNK - length))
    split = padded.view(batch, chunks, CHUNK, heads, width).permute(1, 0, 3, 2, 4)
    return split.reshape(chunks, batch * heads, CHUNK, width)


def reach(scores: torch.Tensor) -> torch.Tensor:
    """Which writes are there already (2L, 2L): those before a removal, and for a read that of its own position too."""
    ones = torch.ones(CHUNK, CHUNK, device=scores.device)
    return torch.cat((ones.tril(-1).repeat(1, 2), ones.tril().repeat(1, 2)))


DELTA_RULES: dict[str, DeltaRule] = {"fused": follow_in_chunks, "explicit": follow_explicitly}
