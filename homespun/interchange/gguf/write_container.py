"""Metadata and tensors -> a GGUF file, whole or absent.

In: values by key, and tensors with the way each is stored. Out: the file, sealed with a checksum. Tensors are
converted a part at a time, so that writing takes no second copy of the model.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from homespun.common.errors import HomespunError
from homespun.common.files import atomic_file
from homespun.interchange.gguf.container import (
    ALIGNMENT,
    HEADER,
    LONGEST_TENSOR_NAME,
    MARK,
    SEAL_KEY,
    UNSEALED,
    VERSION,
    padding,
)
from homespun.interchange.gguf.numbers import Number
from homespun.interchange.gguf.values import Value, pack_text, pack_value, text

# Weights converted at a time; a multiple of every block.
PART = 1 << 20


@dataclass(frozen=True)
class StoredTensor:
    """A tensor to write: its name in the file, its weights (any floating point type), and how to store them."""

    name: str
    weights: torch.Tensor
    number: Number


def write_container(path: Path, metadata: Mapping[str, Value], tensors: Sequence[StoredTensor]) -> None:
    """Write the file; weights that are not finite, or too large for their way of storing, are a ``HomespunError``."""
    head, seal_at = pack_head(metadata, tensors)
    with atomic_file(path) as file:
        checksum = hashlib.sha256()
        for part in chain((head, bytes(padding(len(head)))), map_parts(tensors)):
            file.write(part)
            checksum.update(part)
        file.seek(seal_at)
        file.write(checksum.hexdigest().encode("ascii"))


def pack_head(metadata: Mapping[str, Value], tensors: Sequence[StoredTensor]) -> tuple[bytes, int]:
    """All before the tensors, and at which byte of it the checksum belongs."""
    values = {**metadata, SEAL_KEY: text(UNSEALED)}
    head = MARK + HEADER.pack(VERSION, len(tensors), len(values))
    head += b"".join(pack_text(key) + pack_value(value) for key, value in values.items())
    return head + pack_entries(tensors), len(head) - len(UNSEALED)


def pack_entries(tensors: Sequence[StoredTensor]) -> bytes:
    """One entry per tensor; places count from the first tensor on."""
    parts = []
    place = 0
    for tensor in tensors:
        shape = tensor.weights.shape
        assert len(tensor.name) <= LONGEST_TENSOR_NAME and shape[-1] % tensor.number.weights == 0
        sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        parts.append(pack_text(tensor.name) + sizes + struct.pack("<IQ", tensor.number.code, place))
        size = tensor.number.bytes_of(tensor.weights.numel())
        place += size + padding(size)
    return b"".join(parts)


def map_parts(tensors: Sequence[StoredTensor]) -> Iterator[bytes]:
    """The bytes of all tensors, part by part, each tensor filled up to the alignment."""
    for tensor in tensors:
        weights = tensor.weights.detach().reshape(-1)
        for start in range(0, len(weights), PART):
            yield pack_part(tensor, weights[start : start + PART].to("cpu", torch.float32).numpy())
        yield bytes(padding(tensor.number.bytes_of(len(weights)), ALIGNMENT))


def pack_part(tensor: StoredTensor, weights: np.ndarray) -> bytes:
    """Some weights (N,) as bytes."""
    farthest = float(np.abs(weights).max(initial=0.0))
    if not np.isfinite(farthest):
        raise HomespunError(f"the tensor {tensor.name} has weights that are not finite numbers; it is not written")
    if farthest > tensor.number.largest:
        raise HomespunError(
            f"the tensor {tensor.name} has a weight of {farthest:g}, which {tensor.number.name} cannot hold; "
            "choose BF16 or F32"
        )
    return tensor.number.pack(weights.reshape(-1, tensor.number.weights)).tobytes()
