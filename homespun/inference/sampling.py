"""From logits (V,) to the next token: temperature, top-k, min-p, top-p, and a seeded draw.

top-k: Fan et al. 2018. top-p: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration".
min-p: Nguyen et al. 2024.
"""

import torch

from homespun.inference.settings import SamplingConfig


def probabilities(logits: torch.Tensor, config: SamplingConfig) -> torch.Tensor:
    """Logits (V,) -> probabilities (V,) after all rules; excluded tokens have exactly 0."""
    logits = logits.float()
    if config.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).float()
    # The highest becomes 0 before the division, in doubles: no temperature, however small, overflows.
    logits = (logits.double() - logits.max()) / config.temperature
    if 0 < config.top_k < len(logits):
        logits = keep_top_k(logits, config.top_k)
    chances = logits.softmax(-1)
    if config.min_p > 0:
        chances = chances.where(chances >= config.min_p * chances.max(), 0.0)
    if config.top_p < 1:
        chances = keep_top_p(chances, config.top_p)
    return (chances / chances.sum()).float()


def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """All but the ``k`` highest become minus infinity; of equals, those with the lowest ids stay."""
    kept = logits.sort(descending=True, stable=True).indices[:k]
    return torch.full_like(logits, float("-inf")).scatter(0, kept, logits[kept])


def keep_top_p(chances: torch.Tensor, p: float) -> torch.Tensor:
    """The smallest set of likeliest tokens whose chances (normalized) reach ``p``; at least one."""
    ordered, ids = (chances / chances.sum()).sort(descending=True, stable=True)
    before = ordered.cumsum(0) - ordered
    return chances.where(torch.zeros_like(chances, dtype=torch.bool).scatter(0, ids, before < p), 0.0)


class Sampler:
    """Draws tokens under one configuration; its random numbers are its own."""

    def __init__(self, config: SamplingConfig) -> None:
        self.config = config
        self.generator = torch.Generator().manual_seed(config.seed)

    def draw(self, logits: torch.Tensor) -> int:
        """One token id from logits (V,)."""
        if self.config.temperature == 0:
            return int(logits.argmax())
        chances = probabilities(logits.cpu(), self.config)
        # Inverse transform on one uniform number: the draw depends on nothing but seed and chances.
        uniform = torch.rand((), generator=self.generator, dtype=torch.float64)
        cumulative = chances.double().cumsum(0)
        chosen = int(torch.searchsorted(cumulative, uniform * cumulative[-1], right=True))
        return min(chosen, int(chances.nonzero()[-1]))
