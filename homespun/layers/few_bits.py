"""Numbers in few bits: a matrix in, packed tensors out; and back, nearly.

Blockwise (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", section 2.1): the numbers of a matrix,
row behind row, are cut into blocks of 64. A block is divided by its largest magnitude, its scale, and what is left,
between -1 and 1, becomes the nearest of a few levels. So a number that sticks out spoils its own block alone.

``Int8``          255 levels at equal distances (Dettmers et al. 2023, "QLoRA", section 2, equation 1) and scales in
                  fp32: 8.5 bits for each number. Scales in 8 bits would err more than the levels do.
``NormalFloat4``  16 levels at quantiles of the normal distribution (QLoRA, section 3 and appendix E), since trained
                  weights are about normal, and the scales themselves quantized once more: 4.127 bits.

Left out: outliers apart (LLM.int8()), and products in 8 bits; these here only save memory.

Packing is exact to the bit, so a base that is kept in full can be packed again.

Shapes: N numbers, n blocks of 64 of them, m blocks of 256 scales; the last ones are filled up with zeros.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

BLOCK = 64  # numbers with a common scale: QLoRA, section 4
SCALES_BLOCK = 256  # scales with a common scale: QLoRA, section 3
LARGEST_INT8 = 127
LARGEST_FP8 = 448  # of torch.float8_e4m3fn
# QLoRA, appendix E. Zero is one of them, so that padding and zeros stay what they are.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


class FewBits(Protocol):
    """A way to hold numbers. ``names`` of the packed tensors, in their order."""

    names: tuple[str, ...]

    def pack(self, matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of a matrix in fp32, of any shape."""
        ...

    def unpack(self, packed: Sequence[torch.Tensor], shape: torch.Size) -> torch.Tensor:
        """The matrix in fp32, nearly."""
        ...


class Int8:
    """``codes`` (n, 64) uint8, 127 for zero; ``scales`` (n) fp32."""

    names: tuple[str, ...] = ("codes", "scales")

    def pack(self, matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scales, shares = in_blocks(matrix, BLOCK)
        return (shares * LARGEST_INT8).round_().add_(LARGEST_INT8).to(torch.uint8), scales

    def unpack(self, packed: Sequence[torch.Tensor], shape: torch.Size) -> torch.Tensor:
        codes, scales = packed
        return first(codes.float().sub_(LARGEST_INT8).mul_(scales[:, None] / LARGEST_INT8), shape)


class NormalFloat4:
    """``codes`` (n, 32) uint8, two numbers in each, the first in the higher half.

    The scales, less their ``mean`` () fp32, are 8-bit floats in ``scale_codes`` (m, 256) uint8, of which each block has
    its scale in ``scale_scales`` (m) fp32.
    """

    names: tuple[str, ...] = ("codes", "scale_codes", "scale_scales", "mean")

    def pack(self, matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scales, shares = in_blocks(matrix, BLOCK)
        levels = torch.tensor(NF4, device=matrix.device)
        codes = torch.bucketize(shares, (levels[1:] + levels[:-1]) / 2, out_int32=True).to(torch.uint8)  # (n, 64)
        mean = mean_of(scales)
        scale_scales, scale_shares = in_blocks(scales - mean, SCALES_BLOCK)
        scale_codes = (scale_shares * LARGEST_FP8).to(torch.float8_e4m3fn).view(torch.uint8)
        return codes[:, ::2] << 4 | codes[:, 1::2], scale_codes, scale_scales, mean

    def unpack(self, packed: Sequence[torch.Tensor], shape: torch.Size) -> torch.Tensor:
        codes, scale_codes, scale_scales, mean = packed
        eighths = scale_codes.view(torch.float8_e4m3fn).float() * (scale_scales[:, None] / LARGEST_FP8)
        scales = first(eighths, codes.shape[:1]) + mean  # (n)
        levels = torch.tensor(NF4, device=codes.device)
        # Both numbers of a byte are looked up at once: an index of 64 bits for each would need twice the matrix.
        pairs = torch.cartesian_prod(levels, levels)  # (256, 2)
        found = torch.nn.functional.embedding(codes.int(), pairs).flatten(1)  # (n, 64)
        return first(found.mul_(scales[:, None]), shape)


FEW_BITS: dict[int, FewBits] = {8: Int8(), 4: NormalFloat4()}


def in_blocks(numbers: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of any shape -> the largest magnitude of each block (n), and the blocks (n, block) divided by it."""
    flat = numbers.detach().flatten()
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)
    scales = blocks.abs().amax(1)
    return scales, blocks / scales.where(scales > 0, 1.0)[:, None]


def mean_of(numbers: torch.Tensor) -> torch.Tensor:
    """The mean () fp32 of fp32 numbers (n), to the same bit on every machine.

    Neighbours are added in pairs, then the sums: how ``torch.mean`` divides a sum depends on threads and processor, and
    whoever packs a matrix again must get what was packed before.
    """
    sums = numbers.double()
    while len(sums) > 1:
        sums = torch.nn.functional.pad(sums, (0, len(sums) % 2)).view(-1, 2)
        sums = sums[:, 0] + sums[:, 1]
    return (sums[0] / len(numbers)).float()


def first(blocks: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """As many numbers of the blocks as the shape has, in that shape."""
    return blocks.flatten()[: shape.numel()].view(shape)
