"""Small images that can be told apart, and a writer of PNG files that knows nothing of the reader."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """Length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered(rows: np.ndarray, kinds: list[int], step: int) -> bytes:
    """Rows of bytes (H, N), each behind the number of its filter; straight from the formulas of the standard."""
    out = bytearray()
    for y, kind in enumerate(kinds):
        out.append(kind)
        for x in range(rows.shape[1]):
            a = int(rows[y, x - step]) if x >= step else 0
            b = int(rows[y - 1, x]) if y else 0
            c = int(rows[y - 1, x - step]) if y and x >= step else 0
            p = a + b - c
            pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
            paeth = a if pa <= pb and pa <= pc else b if pb <= pc else c
            out.append((int(rows[y, x]) - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    return bytes(out)


def packed(samples: np.ndarray, depth: int) -> np.ndarray:
    """Samples (H, W, N) as rows of bytes."""
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        return rows.astype(">u2").view(np.uint8)
    bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return np.packbits(bits.reshape(len(rows), -1), axis=1)


def png_bytes(
    samples: np.ndarray, colour: int, depth: int = 8, kinds: list[int] | None = None, palette: bytes = b"",
    interlaced: int = 0,
) -> bytes:  # fmt: skip
    """A whole file of samples (H, W, N)."""
    height, width, count = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    rows = filtered(packed(samples, depth), kinds or [0] * height, max(1, count * depth // 8))
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + (chunk(b"PLTE", palette) if palette else b"")
        + chunk(b"tEXt", b"Comment\0nothing")
        + chunk(b"IDAT", zlib.compress(rows)[:7])
        + chunk(b"IDAT", zlib.compress(rows)[7:])
        + chunk(b"IEND", b"")
    )


def stripes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 8, 8) of three kinds, noisy: lines across, lines down, a square; and which each is."""
    generator = np.random.default_rng(seed)
    shapes = np.zeros((3, 8, 8))
    shapes[0, ::3], shapes[1, :, ::3], shapes[2, 2:6, 2:6] = 1, 1, 1
    classes = np.arange(count) % 3
    noisy = 180 * shapes[classes] + generator.uniform(0, 70, (count, 8, 8))
    return noisy.astype(np.uint8), classes


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 of them in an ``.npz`` file."""
    path = tmp_path_factory.mktemp("images") / "stripes.npz"
    images, classes = stripes(120)
    np.savez(path, images=images, labels=np.array(["across", "down", "square"])[classes])
    return path


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 of them as PNG files, a folder for each class."""
    folder = tmp_path_factory.mktemp("pictures")
    images, classes = stripes(30)
    for number, (image, kind) in enumerate(zip(images, classes, strict=True)):
        place = folder / ["across", "down", "square"][kind]
        place.mkdir(exist_ok=True)
        (place / f"{number}.png").write_bytes(png_bytes(image[..., None], 0))
    return folder
