"""Logits that stay within bounds: (…, V) in, the same shape out."""

import torch
from torch import nn


class SoftCap(nn.Module):
    """cap * tanh(logits / cap): almost the logits themselves while they are small (Gemma team 2024, section 2)."""

    def __init__(self, cap: float) -> None:
        super().__init__()
        self.cap = cap

    def forward(self, logits: torch.Tensor) -> torch.Tensor:  # (…, V) -> (…, V)
        return self.cap * torch.tanh(logits / self.cap)
