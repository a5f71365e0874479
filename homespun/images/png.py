"""PNG files -> pixels, by the standard (ISO/IEC 15948, https://www.w3.org/TR/png-3/), without a library of images.

``read_png(path)`` gives (H, W, K) of uint8: K = 1 for grey, 3 for colour. Numbers of 16 bits lose their lower half,
fewer bits are stretched to 0 … 255, and what is transparent fades to black. Every chunk's checksum is compared.

Left out: interlaced files; a colour that a chunk declares transparent; gamma and colour profiles.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import explain_os_error

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 1 << 26  # pixels: a header that promises more is not believed
PALETTE = 3
# Colour type of the header -> numbers of a pixel, and the depths in bits that the standard allows.
SAMPLES = {0: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@dataclass(frozen=True)
class Header:
    """What the first chunk says."""

    width: int
    height: int
    depth: int
    colour: int

    @property
    def bits_of_pixel(self) -> int:
        return self.depth * SAMPLES[self.colour]

    @property
    def bytes_of_row(self) -> int:
        return -(-self.width * self.bits_of_pixel // 8)


class Unread(Exception):
    """A sound file of a sort that is refused, with what to do instead."""


def read_png(path: Path) -> np.ndarray:
    """The pixels (H, W, 1 or 3) of a file; what is wrong with it is one line that names it."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise explain_os_error(error, "cannot read") from error
    try:
        header, palette, packed = parse(raw)
        rows = unfilter(inflate(packed, header), header)
        return pixels(samples(rows, header), header, palette)
    except ValueError as error:
        raise DamagedFileError(f"{path} is no PNG file, or damaged: {error}") from error
    except Unread as error:
        raise HomespunError(f"{path}: {error}") from error


def parse(raw: bytes) -> tuple[Header, np.ndarray | None, bytes]:
    """The header, the palette (N, 3) if there is one, and the compressed rows."""
    if not raw.startswith(SIGNATURE):
        raise ValueError("it does not begin as one")
    header, palette, packed = None, None, []
    place = len(SIGNATURE)
    while True:
        kind, data = chunk_at(raw, place)
        place += 12 + len(data)
        if kind == b"IHDR":
            header = header_of(data)
        elif kind == b"PLTE":
            if not data or len(data) % 3:
                raise ValueError("its palette is cut off")
            palette = np.frombuffer(data, np.uint8).reshape(-1, 3)
        elif kind == b"IDAT":
            packed.append(data)
        elif kind == b"IEND":
            break
    if header is None:
        raise ValueError("it has no header")
    return header, palette, b"".join(packed)


def chunk_at(raw: bytes, place: int) -> tuple[bytes, bytes]:
    """The kind and the data of the chunk that begins here."""
    length, kind = struct.unpack(">I4s", raw[place : place + 8].ljust(8, b"\0"))
    end = place + 8 + length
    if len(raw) < end + 4:
        raise ValueError("it is cut off")
    data = raw[place + 8 : end]
    if struct.unpack(">I", raw[end : end + 4]) != (zlib.crc32(kind + data),):
        raise ValueError(f"the checksum of its chunk {kind!r} differs")
    return kind, data


def header_of(data: bytes) -> Header:
    """The first chunk, checked."""
    if len(data) != 13:
        raise ValueError("its header has another length")
    width, height, depth, colour, compression, filtering, interlaced = struct.unpack(">IIBBBBB", data)
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlaced > 1:
        raise ValueError("its header says what the standard does not allow")
    if not 0 < width * height <= LARGEST:
        raise ValueError(f"its header says {width} x {height} pixels")
    if interlaced:
        raise Unread("interlaced PNG files are not read; save it without interlacing")
    return Header(width, height, depth, colour)


def inflate(packed: bytes, header: Header) -> bytes:
    """The rows, each behind the number of its filter: exactly as many bytes as the header promises."""
    expected = header.height * (1 + header.bytes_of_row)
    try:
        rows = zlib.decompressobj().decompress(packed, expected + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(rows) != expected:
        raise ValueError("it has more or fewer pixels than its header says")
    return rows


def unfilter(rows: bytes, header: Header) -> np.ndarray:
    """Bytes that tell how they differ from their neighbours -> the bytes themselves (H, bytes of a row)."""
    size, step = header.bytes_of_row, max(1, header.bits_of_pixel // 8)
    above, found = bytearray(size), []
    for begin in range(0, len(rows), size + 1):
        kind, line = rows[begin], bytearray(rows[begin + 1 : begin + 1 + size])
        if kind not in FILTERS:
            raise ValueError(f"a row has the filter {kind}")
        FILTERS[kind](line, above, step)
        found.append(bytes(line))
        above = line
    return np.frombuffer(b"".join(found), np.uint8).reshape(header.height, size)


def add_nothing(line: bytearray, above: bytearray, step: int) -> None:
    """Filter 0: the bytes are there as they are."""


def add_left(line: bytearray, above: bytearray, step: int) -> None:
    """Filter 1: each byte is told by its difference from the one of the pixel to its left."""
    for place in range(step, len(line)):
        line[place] = (line[place] + line[place - step]) & 255


def add_above(line: bytearray, above: bytearray, step: int) -> None:
    """Filter 2: from the one above."""
    for place, upper in enumerate(above):
        line[place] = (line[place] + upper) & 255


def add_mean(line: bytearray, above: bytearray, step: int) -> None:
    """Filter 3: from the mean of both."""
    for place, upper in enumerate(above):
        left = line[place - step] if place >= step else 0
        line[place] = (line[place] + (left + upper) // 2) & 255


def add_nearest(line: bytearray, above: bytearray, step: int) -> None:
    """Filter 4 (Paeth 1991): from the left, the upper or the upper left one: what is next to left + up - corner."""
    for place, upper in enumerate(above):
        left, corner = (line[place - step], above[place - step]) if place >= step else (0, 0)
        guess = left + upper - corner
        nearest = min((left, upper, corner), key=lambda one: abs(guess - one))  # the first of equals, as it should be
        line[place] = (line[place] + nearest) & 255


FILTERS = {0: add_nothing, 1: add_left, 2: add_above, 3: add_mean, 4: add_nearest}


def samples(rows: np.ndarray, header: Header) -> np.ndarray:
    """(H, bytes of a row) -> (H, W, numbers of a pixel), each in its depth."""
    count = header.width * SAMPLES[header.colour]
    if header.depth == 16:
        rows = rows[:, ::2]  # the higher half of each number
    elif header.depth < 8:
        bits = np.unpackbits(rows, axis=1).reshape(header.height, -1, header.depth)
        rows = bits @ (1 << np.arange(header.depth)[::-1]).astype(np.uint8)
    return rows[:, :count].reshape(header.height, header.width, -1)


def pixels(found: np.ndarray, header: Header, palette: np.ndarray | None) -> np.ndarray:
    """(H, W, numbers of a pixel) -> (H, W, 1 or 3) of uint8."""
    if header.colour == PALETTE:
        if palette is None or found.max() >= len(palette):
            raise ValueError("a pixel has a colour that its palette lacks")
        return palette[found[:, :, 0]]
    if header.depth < 8:
        found = found * (255 // ((1 << header.depth) - 1))
    if header.colour < 4:
        return found.astype(np.uint8)
    colours, opacity = found[:, :, :-1].astype(np.uint16), found[:, :, -1:]
    return ((colours * opacity + 127) // 255).astype(np.uint8)
