"""One safetensors file, read by its bytes: checked as a whole before a single number is used, then mapped.

The format: eight bytes with the length of the header (little-endian), the header as JSON (name -> dtype, shape,
data_offsets), then the numbers. Source: the README of Hugging Face's ``safetensors``, "Format".

Checkpoints and exports are *written* with that library, so reading them here is a second pair of eyes. What no reader
can see is a changed number: the format has no checksum (exports of homespun have a manifest beside them).
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeGuard

import torch

from homespun.common.errors import DamagedFileError
from homespun.common.files import explain_os_error
from homespun.tokenizer.formats.reading import make_object, shorten

LENGTH_BYTES = 8
LARGEST_HEADER = 100_000_000  # as in the library; the largest published ones have some megabytes
METADATA = "__metadata__"
TYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Entry:
    """One tensor: its type, its shape, and its bytes counted from the end of the header."""

    type_name: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """A ``TensorSource``. Anything wrong with the file is a ``DamagedFileError`` of one line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            with open(path, "rb") as file:
                self.start = LENGTH_BYTES + header_length(path, file.read(LENGTH_BYTES), size)
                header = file.read(self.start - LENGTH_BYTES)
        except OSError as error:
            raise explain_os_error(error, "cannot read") from error
        self.entries, self.metadata = parse_header(path, header)
        check_that_nothing_is_left(path, self.entries, size - self.start)
        self.mapped = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)

    def names(self) -> Collection[str]:
        return self.entries.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.entries[name].shape

    def type_name(self, name: str) -> str:
        return self.entries[name].type_name

    def is_float(self, name: str) -> bool:
        return TYPES[self.entries[name].type_name].is_floating_point

    def file(self, name: str) -> Path:
        return self.path

    def read(self, name: str) -> torch.Tensor:
        entry = self.entries[name]
        raw = self.mapped[self.start + entry.begin : self.start + entry.end]
        kind = TYPES[entry.type_name]
        if raw.storage_offset() % kind.itemsize:
            raw = raw.clone()
        return raw.view(kind).view(entry.shape)


def header_length(path: Path, raw: bytes, size: int) -> int:
    """The length of the header, if it can be true."""
    length = int.from_bytes(raw, "little")
    if size < LENGTH_BYTES + 2:
        raise DamagedFileError(f"{path} is cut off: it has only {size} bytes; get it again")
    if length > LARGEST_HEADER:
        raise DamagedFileError(
            f"{path} is no safetensors file, or damaged: its header would have {length:,} bytes; get it again"
        )
    if LENGTH_BYTES + length > size:
        raise DamagedFileError(
            f"{path} is cut off: its header has {length:,} bytes, the whole file {size:,}; get it again"
        )
    return length


def parse_header(path: Path, raw: bytes) -> tuple[dict[str, Entry], dict[str, Any]]:
    """Name -> entry, each checked by itself; and what else the writer wanted to say, unchecked."""
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=make_object)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise DamagedFileError(f"{path} is damaged (its header is not JSON: {reason}); get it again") from None
    if not isinstance(header, dict):
        raise DamagedFileError(f"{path} is damaged (its header is no JSON object); get it again")
    metadata = header.pop(METADATA, None)
    entries = {name: parse_entry(path, name, value) for name, value in header.items()}
    return entries, metadata if isinstance(metadata, dict) else {}


def parse_entry(path: Path, name: str, value: Any) -> Entry:
    """What the header says of one tensor, if it agrees with itself and has a name that can be printed."""
    kind, shape, offsets = (
        (value.get(key) for key in ("dtype", "shape", "data_offsets")) if isinstance(value, dict) else (None,) * 3
    )
    is_right = is_counts(shape) and is_counts(offsets) and len(offsets) == 2
    if not is_right or not isinstance(kind, str) or not name.isprintable():
        raise DamagedFileError(f"{path} is damaged (its header about {shorten(name)}: {shorten(value)}); get it again")
    if kind not in TYPES:
        raise DamagedFileError(f"{path}: {name} has the type {shorten(kind)}; homespun reads {', '.join(TYPES)}")
    begin, end = offsets
    size = prod(shape) * TYPES[kind].itemsize
    if end - begin != size:
        raise DamagedFileError(
            f"{path} is damaged: {name} of shape {tuple(shape)} and type {kind} needs {size:,} bytes, "
            f"its header gives it {end - begin:,}; get the file again"
        )
    return Entry(kind, tuple(shape), begin, end)


def is_counts(value: Any) -> TypeGuard[list[int]]:
    """Whether ``value`` is a list of whole numbers, none negative."""
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def check_that_nothing_is_left(path: Path, entries: dict[str, Entry], size: int) -> None:
    """The tensors must fill the rest of the file exactly: no gap, no byte twice, none too many."""
    reached = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != reached:
            raise DamagedFileError(
                f"{path} is damaged: {name} begins at byte {entry.begin:,}, the one before it ends at {reached:,}; "
                "get the file again"
            )
        reached = entry.end
        if reached > size:
            raise DamagedFileError(
                f"{path} is cut off: {name} ends at byte {reached:,}, there are {size:,}; get it again"
            )
    if reached != size:
        raise DamagedFileError(
            f"{path} is damaged: {size - reached:,} bytes behind the last tensor; get the file again"
        )
