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
"Parallelizing Linear Transformers with the Delta Rule"). The systems of all chunks are solved at once; then a few
products carry the state from chunk to chunk.

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
    """The same by chunks of positions: what happens within them is worked out for all at once."""
    batch, length, heads, width = receptance.shape
    if length == 1:
        return follow_explicitly(receptance, log_decay, key, value, removal, rate, state)
    chunks = -(-length // CHUNK)
    parts = (receptance, log_decay, key, value, removal, rate)
    receptance, log_decay, key, value, removal, rate = (into_chunks(part.float(), chunks) for part in parts)
    with torch.autocast(state.device.type, enabled=False):
        until = log_decay.cumsum(dim=-2)  # (N, BH, L, D), logarithms of W
        since = (-until).exp()
        # The state has not decayed yet when it is asked what to remove; when it is read, it has.
        asked = torch.cat((removal * (until - log_decay).exp(), receptance * until.exp()), dim=-2)  # (N, BH, 2L, D)
        written = torch.cat((rate * removal * since, key * since), dim=-2)  # (N, BH, 2L, D)
        scores = asked @ written.mT  # (N, BH, 2L, 2L)
        scores = scores * reach(scores)
        of_removed, of_values = scores.split(CHUNK, dim=-1)  # what each finds of what was taken out, and of new values
        removing, reading = of_removed.split(CHUNK, dim=-2)
        identity = torch.eye(CHUNK, device=scores.device).expand_as(removing)
        solve = torch.linalg.solve_triangular(removing, -identity, upper=False, unitriangular=True)
        kept = until[..., -1:, :].exp()  # (N, BH, 1, D), the decay of a whole chunk
        before, reads, all_taken = state.float().flatten(0, 1), [], []
        for ask, of_value, inverse, new, write, keep in zip(
            asked, of_values @ value, solve, value, written, kept, strict=True
        ):
            found = torch.baddbmm(of_value, ask, before.mT)  # (BH, 2L, D)
            taken = inverse @ found[:, :CHUNK]  # u
            reads.append(found[:, CHUNK:])
            all_taken.append(taken)
            before = torch.baddbmm(before, torch.cat((taken, new), dim=-2).mT, write) * keep
        read = torch.stack(reads) + reading @ torch.stack(all_taken)
    read = read.view(chunks, batch, heads, CHUNK, width).permute(1, 0, 3, 2, 4)
    return read.reshape(batch, chunks * CHUNK, heads, width)[:, :length], before.view(batch, heads, width, width)


def into_chunks(part: torch.Tensor, chunks: int) -> torch.Tensor:
    """(B, T, H, D) -> (N, BH, L, D); positions added at the end are zeros, which leave a state as it is."""
    batch, length, heads, width = part.shape
    if missing := chunks * CHUNK - length:
        part = nn.functional.pad(part, (0, 0, 0, 0, 0, missing))
    split = part.reshape(batch, chunks, CHUNK, heads, width).permute(1, 0, 3, 2, 4)
    return split.reshape(chunks, batch * heads, CHUNK, width)


def reach(scores: torch.Tensor) -> torch.Tensor:
    """Which writes are there already (2L, 2L): those before a removal, and for a read that of its own position too."""
    ones = torch.ones(CHUNK, CHUNK, device=scores.device)
    return torch.cat((ones.tril(-1).repeat(1, 2), ones.tril().repeat(1, 2)))


DELTA_RULES: dict[str, DeltaRule] = {"fused": follow_in_chunks, "explicit": follow_explicitly}
