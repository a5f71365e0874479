"""Image shards: pixels and classes as flat files on disk, written once, read by memory map.

``write_images(images, folder, config)`` splits them and writes, for each split, ``train.pixels.bin`` (uint8, image by
image, row by row) and ``train.classes.bin`` (little-endian uint16), and a ``manifest.json`` with sizes, the classes'
names, counts and checksums. ``ImageShards(folder, split)`` reads one split back.

Who goes to validation is decided by the hash of an image and the seed of the split: the order of the files does not
matter, and copies of one image are never in both.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import atomic_folder, read_json, sha256_of_file, write_json
from homespun.images.read import LabelledImages
from homespun.images.settings import ImagesConfig

FORMAT_VERSION = 1
SPLITS = ("train", "validation")
CLASS_TYPE = np.dtype("<u2")


def write_images(images: LabelledImages, folder: Path, config: ImagesConfig) -> None:
    """Both splits, as a whole folder or none."""
    held_back = choose_validation(images.pixels, config)
    if held_back.all():
        raise HomespunError("there is no image left to train on: nearly all are the same one")
    with atomic_folder(folder) as temporary:
        splits = {}
        for split, chosen in zip(SPLITS, (~held_back, held_back), strict=True):
            files = pixels_file(temporary, split), classes_file(temporary, split)
            images.pixels[chosen].tofile(files[0])
            images.classes[chosen].astype(CLASS_TYPE).tofile(files[1])
            splits[split] = {
                "images": int(chosen.sum()),
                "of_class": np.bincount(images.classes[chosen], minlength=len(images.labels)).tolist(),
                "shards": [{"file": file.name, "sha256": sha256_of_file(file)} for file in files],
            }
        manifest = {
            "format": FORMAT_VERSION,
            "image_size": images.pixels.shape[1],
            "channels": images.pixels.shape[3],
            "labels": list(images.labels),
            "splits": splits,
        }
        write_json(temporary / "manifest.json", manifest)


def choose_validation(pixels: np.ndarray, config: ImagesConfig) -> np.ndarray:
    """True for the images that are held back, (N,): the fraction with the smallest hashes, at least one."""
    salt = config.split_seed.to_bytes(8, "little")
    digests = (hashlib.blake2b(image.tobytes(), digest_size=8, salt=salt).digest() for image in pixels)
    hashes = np.array([int.from_bytes(digest) for digest in digests], dtype=np.uint64)
    count = max(1, round(config.validation_fraction * len(hashes)))
    return hashes <= np.sort(hashes)[count - 1]


def pixels_file(folder: Path, split: str) -> Path:
    return folder / f"{split}.pixels.bin"


def classes_file(folder: Path, split: str) -> Path:
    return folder / f"{split}.classes.bin"


class ImageShards:
    """One split: ``pixels`` (N, S, S, K) and ``classes`` (N,), mapped, not read."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        manifest = read_manifest(folder)
        count, side = manifest["splits"][split]["images"], manifest["image_size"]
        self.pixels = open_map(
            pixels_file(folder, split), np.dtype(np.uint8), (count, side, side, manifest["channels"])
        )
        self.classes = open_map(classes_file(folder, split), CLASS_TYPE, (count,))

    def __len__(self) -> int:
        return len(self.classes)


def open_map(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Map one file; its size must be what the manifest says."""
    expected = int(np.prod(shape)) * dtype.itemsize
    found = path.stat().st_size if path.exists() else -1
    if found != expected:
        state = "is missing" if found < 0 else f"has {found:,} bytes instead of {expected:,}"
        raise DamagedFileError(f"image shard {path} {state}; delete {path.parent} and run the command again")
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of images, of a version that this program reads, with everything in it."""
    manifest = read_json(folder / "manifest.json")
    version = manifest.get("format") if isinstance(manifest, dict) else None
    again = f"delete {folder} and run the command again"
    if version != FORMAT_VERSION:
        raise DamagedFileError(
            f"{folder} holds images of format {version!r}, this version reads {FORMAT_VERSION}; {again}"
        )
    if not is_complete(manifest):
        raise DamagedFileError(f"{folder / 'manifest.json'} is damaged (an entry is missing); {again}")
    return manifest


def is_complete(manifest: dict[str, Any]) -> bool:
    """Everything is there that reading needs, each of its kind."""
    splits, labels = manifest.get("splits"), manifest.get("labels")
    if not all(isinstance(manifest.get(key), int) for key in ("image_size", "channels")):
        return False
    if not isinstance(labels, list) or not isinstance(splits, dict) or splits.keys() != set(SPLITS):
        return False
    return all(
        isinstance(split, dict)
        and isinstance(split.get("images"), int)
        and isinstance(split.get("shards"), list)
        and all(isinstance(one, dict) and {key: type(one[key]) for key in one} == SHARD for one in split["shards"])
        for split in splits.values()
    )


SHARD = {"file": str, "sha256": str}


def verify_images(folder: Path) -> None:
    """Compare every file with its checksum; the first one that differs is named."""
    for split in read_manifest(folder)["splits"].values():
        for shard in split["shards"]:
            path = folder / shard["file"]
            if not path.exists() or sha256_of_file(path) != shard["sha256"]:
                state = "is damaged (its checksum differs)" if path.exists() else "is missing"
                raise DamagedFileError(f"image shard {path} {state}; delete {folder} and run the command again")
