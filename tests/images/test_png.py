"""PNG files: every kind, depth and filter against a writer made from the standard's formulas, and against Pillow."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.images.png import DEPTHS, SAMPLES, read_png
from tests.images.conftest import SIGNATURE, chunk, png_bytes

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]


def read(raw: bytes, folder: Path) -> np.ndarray:
    (folder / "image.png").write_bytes(raw)
    return read_png(folder / "image.png")


@settings(deadline=None, max_examples=120)
@given(
    kind=st.sampled_from([kind for kind in KINDS if kind[0] != PALETTE]),
    width=st.integers(1, 9),
    filters=st.lists(st.integers(0, 4), min_size=1, max_size=7),
    seed=st.integers(0, 2**31),
)
def test_what_was_written_is_read(
    kind: tuple[int, int], width: int, filters: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    colour, depth = kind
    shape = (len(filters), width, SAMPLES[colour])
    samples = np.random.default_rng(seed).integers(0, 1 << depth, shape)
    found = read(png_bytes(samples, colour, depth, filters), tmp_path_factory.getbasetemp())
    expected = samples >> 8 if depth == 16 else samples * 255 // ((1 << depth) - 1)
    if colour >= GREY_ALPHA:
        expected = (expected[..., :-1] * expected[..., -1:] + 127) // 255
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("depth", DEPTHS[PALETTE])
def test_colours_of_a_palette(depth: int, tmp_path: Path) -> None:
    colours = np.random.default_rng(depth).integers(0, 256, (1 << depth, 3), dtype=np.uint8)
    samples = np.random.default_rng(1).integers(0, 1 << depth, (5, 7, 1))
    found = read(png_bytes(samples, PALETTE, depth, palette=colours.tobytes()), tmp_path)
    np.testing.assert_array_equal(found, colours[samples[..., 0]])
    short = png_bytes(np.full((2, 2, 1), (1 << depth) - 1), PALETTE, depth, palette=colours[:-1].tobytes())
    with pytest.raises(DamagedFileError, match="its palette"):
        read(short, tmp_path)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("P", 3), ("1", 1)])
def test_files_that_pillow_writes(mode: str, channels: int, tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(3).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    image = pillow.fromarray(pixels).convert(mode)
    raw = io.BytesIO()
    image.save(raw, "PNG", optimize=True)
    expected = np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(23, 31, channels)
    np.testing.assert_array_equal(read(raw.getvalue(), tmp_path), expected)


WHOLE = png_bytes(np.arange(48).reshape(4, 4, 3), COLOUR, kinds=[0, 1, 2, 4])


def test_a_file_that_is_cut_off_anywhere_is_one_line(tmp_path: Path) -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(DamagedFileError) as raised:
            read(WHOLE[:length], tmp_path)
        assert "image.png" in str(raised.value) and "\n" not in str(raised.value)


def test_a_flip_anywhere_is_found(tmp_path: Path) -> None:
    for place in range(len(WHOLE)):
        with pytest.raises(HomespunError):
            read(WHOLE[:place] + bytes([WHOLE[place] ^ 0x04]) + WHOLE[place + 1 :], tmp_path)


def with_header(width: int, height: int, depth: int, colour: int, interlaced: int = 0, rows: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "does not begin as one"),
        (b"GIF89a" + bytes(40), "does not begin as one"),
        (SIGNATURE + chunk(b"IEND", b""), "no header"),
        (SIGNATURE + chunk(b"IHDR", b"short") + chunk(b"IEND", b""), "another length"),
        (with_header(1 << 31, 1 << 31, 8, 0), "pixels"),
        (with_header(0, 3, 8, 0), "pixels"),
        (with_header(3, 3, 7, 0), "does not allow"),
        (with_header(3, 3, 8, 5), "does not allow"),
        (with_header(3, 3, 4, 2), "does not allow"),
        (with_header(3, 3, 8, 0, rows=bytes(11)), "more or fewer pixels"),
        (with_header(3, 3, 8, 0, rows=bytes(13)), "more or fewer pixels"),
        (with_header(3, 3, 8, 0, rows=b"\5" + bytes(11)), "the filter 5"),
        (with_header(3, 3, 8, 3, rows=bytes(12)), "its palette lacks"),
        (with_header(3, 3, 8, 0, interlaced=1), "interlaced"),
        (SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"no zlib")
         + chunk(b"IEND", b""), "no PNG file, or damaged"),
        (SIGNATURE + chunk(b"PLTE", b"12345") + chunk(b"IEND", b""), "palette is cut off"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_one_line(raw: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match=says) as raised:
        read(raw, tmp_path)
    assert "image.png" in str(raised.value) and "\n" not in str(raised.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Ten megabytes of rows behind a header that promises three."""
    with pytest.raises(DamagedFileError, match="more or fewer pixels"):
        read(with_header(3, 3, 8, 0, rows=bytes(10_000_000)), tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match="no such file"):
        read_png(tmp_path / "absent.png")
