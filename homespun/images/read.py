"""Files and folders -> labelled images, all of one size.

- ``digits.npz``: the arrays ``images``, (N, S, S) or (N, S, S, K) of uint8, and ``labels``, N numbers or words.
- ``animals/``: a folder for each class, with PNG files in it: ``animals/cat/7.png``.

Pickles are never opened. Shapes: N images, S pixels of a side, K channels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from homespun.common.array_files import DAMAGED_ARRAYS, in_one_line
from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import explain_os_error
from homespun.common.progress import Advance, ignore
from homespun.images.png import read_png

ARCHIVE, PICTURE = ".npz", ".png"
FEWEST_IMAGES = 10
MOST_CLASSES = 1 << 16


@dataclass(frozen=True)
class LabelledImages:
    """``pixels`` (N, S, S, K) of uint8, ``classes`` (N,) of int64: which of ``labels`` each image shows."""

    pixels: np.ndarray
    classes: np.ndarray
    labels: tuple[str, ...]


def find_files(sources: Sequence[str]) -> list[Path]:
    """The files behind the SOURCE words, in a fixed order; ``UsageError`` for what is none. Nothing is opened."""
    if not sources:
        raise UsageError(f"no source given; name a file {ARCHIVE} of images and labels, or a folder of PNG files")
    found: list[Path] = []
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            pictures = sorted(inner for inner in path.glob(f"*/*{PICTURE}") if inner.is_file())
            if not pictures:
                raise UsageError(f"{source} has no PNG files in folders named after their classes: {source}/cat/7.png")
            found += pictures
        elif path.is_file() and path.suffix == ARCHIVE:
            found.append(path)
        else:
            state = f"is neither a folder nor a file {ARCHIVE}" if path.exists() else "does not exist"
            raise UsageError(f"the source {source} {state}; name one with images and labels")
    return found


def read_images(sources: Sequence[str], advance: Advance = ignore) -> LabelledImages:
    """Read all of them. ``advance`` is told bytes of files."""
    shape, pixels, names = None, [], []
    for path in find_files(sources):
        images, labels = read_archive(path) if path.suffix == ARCHIVE else (read_png(path)[None], [path.parent.name])
        shape = shape or images.shape[1:]
        if images.shape[1:] != shape or shape[0] != shape[1]:
            wanted = "they must be square" if images.shape[1:] == shape else f"the ones before it {size_of(shape)}"
            raise HomespunError(f"{path}: the images are {size_of(images.shape[1:])}, {wanted}; make all of one size")
        pixels.append(images)
        names += labels
        advance(path.stat().st_size)
    labels = in_order(set(names))
    if len(names) < FEWEST_IMAGES or len(labels) < 2:
        raise HomespunError(
            f"{', '.join(sources)}: {len(names)} images of {len(labels)} classes; "
            f"at least {FEWEST_IMAGES} of 2 are needed to learn from"
        )
    if len(labels) > MOST_CLASSES:
        raise HomespunError(
            f"{', '.join(sources)}: {len(labels):,} classes; at most {MOST_CLASSES:,} can be told apart"
        )
    numbers = {label: number for number, label in enumerate(labels)}
    classes = np.fromiter((numbers[name] for name in names), np.int64, len(names))
    return LabelledImages(np.concatenate(pixels), classes, labels)


@dataclass(frozen=True)
class Pictures:
    """``pixels`` (N, S, S, K) of one file, the name of each, and its label where the file tells it."""

    pixels: np.ndarray
    names: list[str]
    labels: list[str]


def read_pictures(path: Path, size: int, channels: int) -> Pictures:
    """The pictures of a PNG or ``.npz`` file, which must be ``size`` x ``size`` pixels of ``channels``."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.suffix == ARCHIVE:
        pixels, labels = read_archive(path)
        found = Pictures(pixels, [f"{path} {number}" for number in range(len(pixels))], labels)
    else:
        found = Pictures(read_png(path)[None], [str(path)], [])
    if found.pixels.shape[1:] != (size, size, channels):
        wanted = size_of((size, size, channels))
        raise HomespunError(f"{path}: {size_of(found.pixels.shape[1:])}; the model was trained on {wanted}")
    return found


def size_of(shape: Sequence[int]) -> str:
    """``8 x 8 pixels in grey``, of a shape (H, W, K)."""
    height, width, channels = shape
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return f"{height} x {width} pixels in {kind}"


def in_order(names: set[str]) -> tuple[str, ...]:
    """Numbers by their size, words by the alphabet."""
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def read_archive(path: Path) -> tuple[np.ndarray, list[str]]:
    """Images (N, H, W, K) and the label of each, as text."""
    images, labels = arrays_of(path, "images", "labels")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape:
        raise HomespunError(
            f"{path}: images are {images.dtype} of shape {images.shape}; "
            "they must be uint8 (0 to 255) of shape (N, S, S) or (N, S, S, K)"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iuU":
        raise HomespunError(
            f"{path}: labels are {labels.dtype} of shape {labels.shape}; "
            f"they must be {len(images)} whole numbers or words, one for each image"
        )
    return images, [str(label) for label in labels.tolist()]


def arrays_of(path: Path, *names: str) -> Iterator[np.ndarray]:
    """Arrays of an ``.npz`` file by their names."""
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array without a name")
            for name in names:
                if name not in archive:
                    raise HomespunError(f"{path} has no array {name}; it has {', '.join(archive) or 'none'}")
                yield archive[name]
    except OSError as error:
        raise explain_os_error(error, "cannot read") from error
    except DAMAGED_ARRAYS as error:  # also objects, which would be pickles
        raise DamagedFileError(f"{path} cannot be read as a file of arrays ({in_one_line(error)})") from error
