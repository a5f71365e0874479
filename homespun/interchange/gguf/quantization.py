"""Q8_0 and Q4_0: weights in blocks of 32 with a scale of their own -> bytes, and back.

In: float32 (blocks, 32). Out: bytes (blocks, 34 or 18), bit for bit what ggml's reference code gives.

``Q8_0``  a scale in float16, then 32 whole numbers of 8 bits, rounded half away from zero.
``Q4_0``  a scale in float16, then 32 whole numbers of 4 bits, of which 8 means zero: byte i holds weight i below and
          weight i + 16 above. The scale has the sign that makes the weight that lies farthest from zero an exact 0
          (-8 times the scale), so all 16 values are in use.

Source: ``quantize_row_q8_0_ref`` and ``quantize_row_q4_0_ref`` in ggml's ``ggml-quants.c`` (MIT licence).
"""

import numpy as np

BLOCK = 32
HALF = BLOCK // 2
SCALE_BYTES = 2
ZERO_OF_Q4 = 8
# A scale nearer to zero has no inverse in float32. In float16 it is zero anyway, and so are all weights of its block.
SMALLEST_SCALE = np.float32(1) / np.finfo(np.float32).max


def inverse(scale: np.ndarray) -> np.ndarray:
    """1 / scale (blocks, 1) in float32, or 0 where there is none, as for a block of zeros."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=np.abs(scale) > SMALLEST_SCALE)


def half_bytes(scale: np.ndarray) -> np.ndarray:
    """Scales (blocks, 1) in float16, as bytes (blocks, 2)."""
    return scale.astype("<f2").view(np.uint8)


def scale_of(raw: np.ndarray) -> np.ndarray:
    """The scales (blocks, 1) in float32 at the beginning of blocks of bytes."""
    return np.ascontiguousarray(raw[:, :SCALE_BYTES]).view("<f2").astype(np.float32)


def pack_q8_0(blocks: np.ndarray) -> np.ndarray:
    """float32 (blocks, 32) -> bytes (blocks, 34)."""
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = blocks * inverse(scale)
    size = np.abs(scaled)
    lower = np.floor(size)
    rounded = np.copysign(lower + (size - lower >= np.float32(0.5)), scaled)
    return np.concatenate([half_bytes(scale), rounded.astype(np.int8).view(np.uint8)], axis=1)


def unpack_q8_0(raw: np.ndarray) -> np.ndarray:
    """bytes (blocks, 34) -> float32 (blocks, 32)."""
    return scale_of(raw) * raw[:, SCALE_BYTES:].view(np.int8).astype(np.float32)


def pack_q4_0(blocks: np.ndarray) -> np.ndarray:
    """float32 (blocks, 32) -> bytes (blocks, 18)."""
    farthest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = farthest / np.float32(-ZERO_OF_Q4)
    # ggml's code lets the compiler multiply and add with one rounding; in float64 the product is exact.
    shifted = blocks.astype(np.float64) * inverse(scale).astype(np.float64) + (ZERO_OF_Q4 + 0.5)
    numbers = np.minimum(shifted.astype(np.float32).astype(np.uint8), 15)  # (blocks, 32)
    return np.concatenate([half_bytes(scale), numbers[:, :HALF] | numbers[:, HALF:] << 4], axis=1)


def unpack_q4_0(raw: np.ndarray) -> np.ndarray:
    """bytes (blocks, 18) -> float32 (blocks, 32)."""
    pairs = raw[:, SCALE_BYTES:]
    numbers = np.concatenate([pairs & 15, pairs >> 4], axis=1).astype(np.int8) - np.int8(ZERO_OF_Q4)
    return scale_of(raw) * numbers.astype(np.float32)
