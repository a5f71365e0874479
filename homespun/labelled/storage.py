"""The splits of labelled texts as a folder: one Parquet file each, and ``manifest.json`` with counts and checksums.

``write_labelled(divided, folder)`` writes it, whole or not at all; ``read_split(folder, split)`` reads one back.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from homespun.common.errors import DamagedFileError
from homespun.common.files import atomic_folder, read_json, sha256_of_file, write_json
from homespun.labelled.split import SPLITS, Divided

FORMAT_VERSION = 1


@dataclass(frozen=True)
class LabelledSplit:
    """``texts`` (N), and ``classes`` (N,): the numbers of their labels."""

    texts: list[str]
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


def write_labelled(divided: Divided, folder: Path) -> None:
    """All splits."""
    import pyarrow
    from pyarrow import parquet

    number = {label: place for place, label in enumerate(divided.labels)}
    with atomic_folder(folder) as temporary:
        splits = {}
        for split, rows in divided.splits.items():
            path = temporary / f"{split}.parquet"
            classes = np.array([number[row.label] for row in rows], np.int32)
            # Half a surrogate pair, which JSON can hold, is no text that can be stored.
            texts = [row.text.encode("utf-8", "replace").decode("utf-8") for row in rows]
            parquet.write_table(pyarrow.table({"text": texts, "class": classes}), path, compression="zstd")
            splits[split] = {
                "texts": len(rows),
                "bytes": sum(len(text.encode("utf-8")) for text in texts),
                "of_class": np.bincount(classes, minlength=len(number)).tolist(),
                "shards": [{"file": path.name, "sha256": sha256_of_file(path)}],
            }
        manifest = {
            "format": FORMAT_VERSION,
            "labels": list(divided.labels),
            "splits": splits,
            "left_out": asdict(divided.left_out),
        }
        write_json(temporary / "manifest.json", manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, of a version that this program reads."""
    manifest = read_json(folder / "manifest.json")
    again = f"delete {folder} and run the command again"
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise DamagedFileError(
            f"{folder} holds labelled texts of format {version!r}, this version reads {FORMAT_VERSION}; {again}"
        )
    splits, labels = manifest.get("splits"), manifest.get("labels")
    if not isinstance(labels, list) or not isinstance(splits, dict) or splits.keys() != set(SPLITS):
        raise DamagedFileError(f"{folder / 'manifest.json'} is damaged (an entry is missing); {again}")
    return manifest


def verify_labelled(folder: Path) -> None:
    """Compare every file with its checksum; the first one that differs is named."""
    for split in read_manifest(folder)["splits"].values():
        for shard in split["shards"]:
            path = folder / shard["file"]
            if not path.exists() or sha256_of_file(path) != shard["sha256"]:
                state = "is damaged (its checksum differs)" if path.exists() else "is missing"
                raise DamagedFileError(f"labelled texts {path} {state}; delete {folder} and run the command again")


def read_split(folder: Path, split: str) -> LabelledSplit:
    """One split, in memory."""
    from pyarrow import parquet

    table = parquet.read_table(folder / f"{split}.parquet")
    return LabelledSplit(table["text"].to_pylist(), table["class"].to_numpy())
