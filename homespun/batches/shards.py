"""Token shards: flat files of token ids on disk, written once, read by memory map.

``write_shards(documents, folder, …)`` takes one list of ids per document and writes, for a split,
``train-00000.bin`` (little-endian uint16, or uint32 for vocabularies above 65,536), beside it
``train-00000.starts.bin`` (uint64: where each document begins in the shard), and an entry in
``manifest.json`` with counts and SHA-256. Every document begins with the end-of-text token, so that
its first real token has something to be predicted from.

``TokenShards(folder, split)`` reads them back as one long row of tokens: ``read(start, length)``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from homespun.common.errors import DamagedFileError
from homespun.common.files import read_json, sha256_of_file

FORMAT_VERSION = 1
TOKENS_PER_SHARD = 1 << 26  # 128 MiB of uint16: large enough to stream, small enough to copy
LARGEST_UINT16_VOCABULARY = 1 << 16


@dataclass(frozen=True)
class ShardEntry:
    """One shard in the manifest: file names, counts, checksums."""

    file: str
    tokens: int
    documents: int
    sha256: str
    starts_sha256: str


class ShardWriter:
    """Collects tokens of one split and cuts them into files in ``folder``."""

    def __init__(self, folder: Path, split: str, dtype: np.dtype, tokens_per_shard: int = TOKENS_PER_SHARD) -> None:
        self.folder = folder
        self.split = split
        self.dtype = dtype
        self.tokens_per_shard = tokens_per_shard
        self.entries: list[ShardEntry] = []
        self.buffers: list[np.ndarray] = []
        self.starts: list[int] = []
        self.buffered = 0

    def add(self, ids: Sequence[int] | np.ndarray) -> None:
        """Append one document; it is never cut between two shards."""
        if self.buffered and self.buffered + len(ids) > self.tokens_per_shard:
            self.flush()
        self.starts.append(self.buffered)
        self.buffers.append(np.asarray(ids, dtype=self.dtype))
        self.buffered += len(ids)

    def flush(self) -> None:
        """Write what is buffered as one shard."""
        if not self.buffered:
            return
        name = f"{self.split}-{len(self.entries):05d}.bin"
        path, starts_path = self.folder / name, self.folder / name.replace(".bin", ".starts.bin")
        np.concatenate(self.buffers).tofile(path)
        np.asarray(self.starts, dtype="<u8").tofile(starts_path)
        self.entries.append(
            ShardEntry(name, self.buffered, len(self.starts), sha256_of_file(path), sha256_of_file(starts_path))
        )
        self.buffers, self.starts, self.buffered = [], [], 0


def dtype_for(vocabulary_size: int) -> np.dtype:
    """The narrowest little-endian type that holds every id."""
    return np.dtype("<u2" if vocabulary_size <= LARGEST_UINT16_VOCABULARY else "<u4")


def write_split(folder: Path, split: str, documents: Iterable[np.ndarray], vocabulary_size: int) -> dict[str, Any]:
    """Write all ``documents`` of one split; give the split's entry for the manifest."""
    writer = ShardWriter(folder, split, dtype_for(vocabulary_size))
    for ids in documents:
        writer.add(ids)
    writer.flush()
    return {
        "tokens": sum(entry.tokens for entry in writer.entries),
        "documents": sum(entry.documents for entry in writer.entries),
        "shards": [asdict(entry) for entry in writer.entries],
    }


class TokenShards:
    """All shards of one split, seen as one row of ``len(shards)`` tokens; memory is mapped, not read."""

    def __init__(self, folder: Path, split: str) -> None:
        manifest = read_manifest(folder)
        if split not in manifest["splits"]:
            raise DamagedFileError(
                f"{folder / 'manifest.json'} has no split {split}; delete {folder} and run the command again"
            )
        self.folder = folder
        self.dtype = dtype_for(manifest["vocabulary_size"])
        self.entries = [ShardEntry(**entry) for entry in manifest["splits"][split]["shards"]]
        self.maps = [self.open(entry) for entry in self.entries]
        self.ends = np.cumsum([entry.tokens for entry in self.entries], dtype=np.int64)

    def open(self, entry: ShardEntry) -> np.ndarray:
        """Map one shard; its size must be what the manifest says."""
        path = self.folder / entry.file
        expected = entry.tokens * self.dtype.itemsize
        found = path.stat().st_size if path.exists() else -1
        if found != expected:
            state = "is missing" if found < 0 else f"has {found:,} bytes instead of {expected:,}"
            raise DamagedFileError(f"token shard {path} {state}; delete {self.folder} and run the command again")
        return np.memmap(path, dtype=self.dtype, mode="r")

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def document_starts(self) -> np.ndarray:
        """Where each document begins in the whole row, int64 (documents,)."""
        starts = [np.empty(0, np.int64)]
        for entry, end in zip(self.entries, self.ends.tolist(), strict=True):
            path = self.folder / entry.file.replace(".bin", ".starts.bin")
            own = np.fromfile(path, dtype="<u8").astype(np.int64) if path.exists() else np.empty(0, np.int64)
            if len(own) != entry.documents:
                raise DamagedFileError(
                    f"{path} tells of {len(own):,} documents, the manifest of {entry.documents:,}; "
                    f"delete {self.folder} and run the command again"
                )
            starts.append(own + (end - entry.tokens))
        return np.concatenate(starts)

    def places_of(self, token: int) -> np.ndarray:
        """Where a token stands in the whole row, int64, ascending."""
        found = [np.empty(0, np.int64)]
        for shard, entry, end in zip(self.maps, self.entries, self.ends.tolist(), strict=True):
            found.append(np.flatnonzero(shard == token) + (end - entry.tokens))
        return np.concatenate(found)

    def read(self, start: int, length: int) -> np.ndarray:
        """``length`` tokens from ``start`` on, as int64 (length,), across shard borders."""
        out = np.empty(length, dtype=np.int64)
        filled = 0
        index = int(np.searchsorted(self.ends, start, side="right"))
        while filled < length:
            begin = start + filled - (int(self.ends[index - 1]) if index else 0)
            part = self.maps[index][begin : begin + length - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            index += 1
        return out


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of shards, of a version that this program reads."""
    manifest = read_json(folder / "manifest.json")
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise DamagedFileError(
            f"{folder} holds token shards of format {version!r}, this version reads {FORMAT_VERSION}; "
            "delete the folder and run the command again"
        )
    if not is_complete(manifest):
        raise DamagedFileError(
            f"{folder / 'manifest.json'} is damaged (an entry is missing); delete {folder} and run the command again"
        )
    return manifest


def is_complete(manifest: dict[str, Any]) -> bool:
    """Everything is there that reading shards needs, each of its kind."""
    splits = manifest.get("splits")
    if not isinstance(manifest.get("vocabulary_size"), int) or not isinstance(splits, dict):
        return False
    kinds = {field.name: field.type for field in fields(ShardEntry)}
    for split in splits.values():
        if not isinstance(split, dict) or not isinstance(split.get("shards"), list):
            return False
        for entry in split["shards"]:
            if not isinstance(entry, dict) or {key: type(value) for key, value in entry.items()} != kinds:
                return False
    return True


def verify_shards(folder: Path) -> None:
    """Compare every shard with its checksum; the first one that differs is named."""
    for split in read_manifest(folder)["splits"].values():
        for entry in split["shards"]:
            for file, expected in (
                (entry["file"], entry["sha256"]),
                (entry["file"].replace(".bin", ".starts.bin"), entry["starts_sha256"]),
            ):
                path = folder / file
                if not path.exists() or sha256_of_file(path) != expected:
                    state = "is damaged (its checksum differs)" if path.exists() else "is missing"
                    raise DamagedFileError(f"token shard {path} {state}; delete {folder} and run the command again")
