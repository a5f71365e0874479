"""What a GGUF file holds: metadata, and tensors that are read when they are asked for.

The layout, all little-endian: ``GGUF``, the version, how many tensors and metadata values; the values; one entry per
tensor (name, sizes from the innermost on, type, place); then, from the next multiple of the alignment on, the tensors,
each at a multiple of it. Source: the GGUF specification, ``docs/gguf.md`` of the ggml project.

Files of ours also hold a checksum (``homespun.sha256``) over the whole file, with zeros in its own place: the format
has none, and a flipped bit would be read silently.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from homespun.interchange.gguf.numbers import Number
from homespun.interchange.gguf.values import Value

MARK = b"GGUF"
VERSION = 3
HEADER = struct.Struct("<IQQ")  # version, tensors, metadata values
ALIGNMENT = 32
MOST_DIMENSIONS = 4
LONGEST_TENSOR_NAME = 63  # ggml keeps 64 bytes, and the last one is zero
LONGEST_KEY = 65535

SEAL_KEY = "homespun.sha256"
UNSEALED = "0" * 64


def padding(size: int, alignment: int = ALIGNMENT) -> int:
    """How many bytes are missing to the next multiple of the alignment."""
    return -size % alignment


@dataclass(frozen=True)
class Entry:
    """Where a tensor stands in a file, and how: ``shape`` as torch has it, rows first; ``start`` from the file's."""

    shape: tuple[int, ...]
    number: Number
    start: int
    size: int


@dataclass(frozen=True)
class Container:
    """A file that was read: its structure is checked, its tensors are still on the disk."""

    path: Path
    raw: mmap.mmap
    metadata: dict[str, Value]
    entries: dict[str, Entry]

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor in float32, in memory of its own."""
        entry = self.entries[name]
        raw = np.frombuffer(self.raw, np.uint8, entry.size, entry.start).reshape(-1, entry.number.size)
        return torch.from_numpy(entry.number.unpack(raw).reshape(entry.shape))
