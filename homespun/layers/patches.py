"""An image as a sequence: images (B, K, H, W) in, one vector for each patch (B, P, C) out.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", section 3.1: the numbers of a square patch, channel by channel
and row by row, are multiplied by one matrix. A convolution whose stride is its size does the same (tested equal).

Shapes: K channels, S pixels of a patch's side, P = H/S x W/S patches, row by row.
"""

import torch
from torch import nn


def cut(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, K, H, W) -> (B, P, K S S); the sides are multiples of ``size``."""
    patches = images.unfold(2, size, size).unfold(3, size, size)  # (B, K, H/S, W/S, S, S)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


class Patches(nn.Linear):
    """Cut, and multiply."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__(channels * size**2, width)
        self.size = size

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Images (B, K, H, W) -> (B, P, C)."""
        return super().forward(cut(input, self.size))
