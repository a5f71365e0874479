"""Muon: hidden matrices move by their momentum made orthogonal; gradients in, weights changed in place.

Jordan 2024 (https://kellerjordan.github.io/posts/muon/). The step of a matrix is U V^T, where U S V^T is its Nesterov
momentum: every direction moves by the same amount, not only the few that the gradient is full of. U V^T comes from
five rounds of a polynomial in matrix products, without a singular value decomposition. A step is 0.2 sqrt(max(R, C))
times that (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2): its entries are then as large as
AdamW's, so that both can share one learning rate and one weight decay.

Left out: embeddings, the head, gains and biases, which AdamW moves better (``homespun.training.optimizer``).

Shapes: N matrices of one shape, R rows <= C columns.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, Replicate

from homespun.training.sharding import local

LIKE_ADAMW = 0.2  # root mean square of the entries of a step of AdamW, seen by Liu et al. 2025
Rounds = tuple[tuple[float, float, float], ...]
# (a, b, c) of each round x <- (a + b x x^T + c (x x^T)^2) x: Amsel et al. 2025, "The Polar Express", algorithm 1.
POLAR_EXPRESS: Rounds = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
QUINTIC: Rounds = ((3.4445, -4.7750, 2.0315),) * 5  # Jordan 2024


def orthogonalize(matrices: torch.Tensor, dtype: torch.dtype, rounds: Rounds = POLAR_EXPRESS) -> torch.Tensor:
    """(N, R, C) with R <= C -> the nearest matrices with orthonormal rows, about: singular values near 1."""
    # The largest singular value must not exceed 1, also after rounding.
    size = matrices.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7) * 1.02
    x = (matrices / size).to(dtype)
    for a, b, c in rounds:
        gram = torch.bmm(x, x.mT)  # (N, R, R)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def whole(part: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """All of a tensor that is spread over processes as ``like`` is."""
    if not isinstance(like, DTensor):
        return part
    spread = DTensor.from_local(part, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())
    return spread.full_tensor()


def own_part(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The inverse of ``whole``; every process has all of ``tensor``, so nothing is sent."""
    if not isinstance(like, DTensor):
        return tensor
    mesh = like.device_mesh
    return DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim).redistribute(mesh, like.placements).to_local()


class Muon(torch.optim.Optimizer):
    """``found_inf``, a 0-d tensor of 1.0, lets a step change nothing, as with PyTorch's fused AdamW."""

    found_inf: torch.Tensor | None = None

    def __init__(
        self,
        matrices: list[tuple[nn.Parameter, tuple[int, ...]]],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
        rounds: Rounds = POLAR_EXPRESS,
    ) -> None:
        """``matrices``: each with the rows of the matrices that it is fused of; ``dtype`` of the polynomial."""
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([matrix for matrix, _ in matrices], defaults)
        self.rows = dict(matrices)
        self.dtype = dtype
        self.rounds = rounds
        for matrix, _ in matrices:
            self.state[matrix] = {"momentum": torch.zeros_like(matrix)}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every matrix that has a gradient."""
        for group in self.param_groups:
            gradients = {matrix: local(matrix.grad) for matrix in group["params"] if matrix.grad is not None}
            if gradients:
                self.move(list(gradients), list(gradients.values()), group)

    def move(self, matrices: list[nn.Parameter], gradients: list[torch.Tensor], group: dict[str, Any]) -> None:
        """One step of some matrices; of the gradients, what this process holds."""
        lr, memory, decay = group["lr"], group["momentum"], group["weight_decay"]
        momenta = [local(self.state[matrix]["momentum"]) for matrix in matrices]
        rate: float | torch.Tensor = lr
        if self.found_inf is not None:
            # No gradient and no rate: the same bits come out, whatever the gradient was, and nobody had to wait.
            skip = self.found_inf > 0
            gradients = [torch.where(skip, *pair) for pair in zip(momenta, gradients, strict=True)]
            rate = torch.where(skip, 0.0, lr)
        torch._foreach_lerp_(momenta, gradients, 1 - memory)
        steps = [
            whole(step, matrix)
            for step, matrix in zip(torch._foreach_lerp(gradients, momenta, memory), matrices, strict=True)
        ]
        self.orthogonalize_parts(steps, [self.rows[matrix] for matrix in matrices])
        own = [local(matrix) for matrix in matrices]
        parts = [own_part(step, matrix) for step, matrix in zip(steps, matrices, strict=True)]
        torch._foreach_mul_(own, 1 - rate * decay)
        torch._foreach_mul_(parts, rate)
        torch._foreach_sub_(own, parts)

    def orthogonalize_parts(self, steps: list[torch.Tensor], rows: list[tuple[int, ...]]) -> None:
        """In place; parts of one shape, from all over the model, go through the products together."""
        alike: dict[torch.Size, list[torch.Tensor]] = {}
        for step, heights in zip(steps, rows, strict=True):
            for part in step.split(heights):
                wide = part if part.shape[0] <= part.shape[1] else part.mT
                alike.setdefault(wide.shape, []).append(wide)
        for shape, parts in alike.items():
            orthogonal = orthogonalize(torch.stack(parts), self.dtype, self.rounds)
            torch._foreach_copy_(parts, list(orthogonal))
            torch._foreach_mul_(parts, LIKE_ADAMW * math.sqrt(shape[1]))
