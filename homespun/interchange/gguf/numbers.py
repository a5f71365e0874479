"""The five ways in which a tensor is stored here: float32 -> bytes, and bytes -> float32.

``F32`` exact, ``F16`` and ``BF16`` rounded to the nearest (ties to even), ``Q8_0`` and ``Q4_0`` in blocks of 32 with
a scale. llama.cpp knows some thirty more; a file with one of those is refused by its name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from homespun.interchange.gguf.quantization import BLOCK, pack_q4_0, pack_q8_0, unpack_q4_0, unpack_q8_0

Conversion = Callable[[np.ndarray], np.ndarray]

LARGEST_HALF = 65504.0
# The largest float32 that does not become infinite in bfloat16.
LARGEST_BFLOAT = float(np.array(0x7F7F7FFF, np.uint32).view(np.float32))


@dataclass(frozen=True)
class Number:
    """How weights are stored.

    ``code``: the number of the type in a tensor's entry. ``file_type``: what ``general.file_type`` says of a file in
    which most tensors have it. ``pack``: float32 (blocks, weights) -> bytes (blocks, size); ``unpack``: the inverse.
    """

    name: str
    code: int
    file_type: int
    weights: int  # in one block
    size: int  # of one block, in bytes
    largest: float  # weights farther from zero cannot be stored
    pack: Conversion
    unpack: Conversion

    def bytes_of(self, weights: int) -> int:
        """The size of so many weights, which fill whole blocks."""
        return weights // self.weights * self.size


def pack_plainly(kind: str) -> Conversion:
    """Weights -> bytes of a type that numpy has."""
    return lambda blocks: np.ascontiguousarray(blocks, dtype=kind).view(np.uint8)


def unpack_plainly(kind: str) -> Conversion:
    """The inverse."""
    return lambda raw: np.ascontiguousarray(raw).view(kind).astype(np.float32)


def pack_bf16(blocks: np.ndarray) -> np.ndarray:
    """float32 (blocks, 1) -> bytes (blocks, 2): the upper half of the bits, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(blocks, dtype="<f4").view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + (bits >> 16 & 1))
    return (rounded >> 16).astype("<u2").view(np.uint8)


def unpack_bf16(raw: np.ndarray) -> np.ndarray:
    """bytes (blocks, 2) -> float32 (blocks, 1)."""
    return (np.ascontiguousarray(raw).view("<u2").astype(np.uint32) << 16).view(np.float32)


NUMBERS = {
    number.name: number
    for number in (
        Number("F32", 0, 0, 1, 4, float(np.finfo(np.float32).max), pack_plainly("<f4"), unpack_plainly("<f4")),
        Number("F16", 1, 1, 1, 2, LARGEST_HALF, pack_plainly("<f2"), unpack_plainly("<f2")),
        Number("BF16", 30, 32, 1, 2, LARGEST_BFLOAT, pack_bf16, unpack_bf16),
        Number("Q8_0", 8, 7, BLOCK, 34, 127 * LARGEST_HALF, pack_q8_0, unpack_q8_0),
        Number("Q4_0", 2, 2, BLOCK, 18, 8 * LARGEST_HALF, pack_q4_0, unpack_q4_0),
    )
}
NUMBER_OF_CODE = {number.code: number for number in NUMBERS.values()}

# What else a file can hold, by name for the message: ``ggml_type`` in ggml.h.
OTHER_TYPES = {
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
}
