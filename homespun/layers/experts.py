"""A mixture of experts: several feed-forward layers, of which each position uses a few; (B, T, C) in, the same out.

Shazeer et al. 2017, "Outrageously Large Neural Networks", in the form of Mixtral (Jiang et al. 2024) and Qwen3
(Yang et al. 2025). A router gives every expert a probability, a position goes to the k likeliest, and what these find
is mixed by their probabilities, made to sum to one. The parameters of all experts, the work of k.

Positions are sorted by expert, so that each expert has one product of the rows that chose it, and one that nobody chose
costs nothing. Left out: a limit of rows for one expert (no position is ever dropped), experts on other machines.

Shapes: N = B T positions, E experts, k of them for each position, C width, F hidden channels of an expert.
"""

import torch
from torch import nn


class Experts(nn.Module):
    """SwiGLU layers without biases, and the router; the experts' matrices lie beneath each other in one."""

    def __init__(self, width: int, hidden: int, experts: int, chosen: int) -> None:
        super().__init__()
        self.experts = experts
        self.chosen = chosen
        self.router = nn.Linear(width, experts, bias=False)
        self.gate_and_widen = nn.Linear(width, experts * 2 * hidden, bias=False)
        self.output = nn.Linear(hidden, experts * width, bias=False)
        # The router is left to AdamW: its few rows are E separate questions, not a map between spaces.
        self.matrices = {"gate_and_widen.weight": (hidden,) * (2 * experts), "output.weight": (width,) * experts}
        self.unevenness = torch.zeros(())  # of the last forward pass in training, with its gradient

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(0, 1)  # (N, C)
        weights, experts = self.route(rows)  # (N, k) each
        order = experts.flatten().argsort(stable=True)  # (N k): places in the row of choices, by expert
        counts = experts.flatten().bincount(minlength=self.experts)  # (E)
        found = self.work(rows[order // self.chosen], counts.tolist())  # (N k, C), by expert
        found = found[order.argsort()].view(*weights.shape, -1)  # (N, k, C), by position again
        return (found * weights[..., None]).sum(1).view_as(x)

    def route(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (N, C) -> weights that sum to one, and which experts they are for: (N, k) each."""
        # In full numbers also where products are made in half ones: rounding would exchange experts that are nearly
        # equally likely (Fedus et al. 2021, section 2.4).
        with torch.autocast(rows.device.type, enabled=False):
            chances = nn.functional.linear(rows.float(), self.router.weight.float()).softmax(-1)  # (N, E)
        highest, experts = chances.topk(self.chosen, dim=-1)
        if self.training:
            self.unevenness = unevenness(chances, experts)
        return highest / highest.sum(-1, keepdim=True), experts

    def work(self, rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """Rows (N k, C) by expert, ``counts[e]`` of them for expert e -> what it makes of them."""
        widening = self.gate_and_widen.weight.chunk(self.experts)  # (2F, C) each
        narrowing = self.output.weight.chunk(self.experts)  # (C, F) each
        found = []
        for expert, part in enumerate(rows.split(counts)):
            if len(part):
                gate, path = nn.functional.linear(part, widening[expert]).chunk(2, dim=-1)
                found.append(nn.functional.linear(nn.functional.silu(gate) * path, narrowing[expert]))
        return torch.cat(found)


def unevenness(chances: torch.Tensor, experts: torch.Tensor) -> torch.Tensor:
    """How unevenly experts are chosen: 1 where all are alike, up to E; 0-d.

    Fedus et al. 2021, section 2.2, equation 4: E times the sum over experts of the share of choices that it has got and
    of the mean probability that it was given. Only the second has a gradient, the larger the larger the first.
    """
    count = chances.shape[-1]
    shares = experts.flatten().bincount(minlength=count) / experts.numel()  # (E)
    return count * (shares * chances.mean(0)).sum()
