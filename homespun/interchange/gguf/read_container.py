"""A GGUF file -> its metadata and the places of its tensors, within bounds.

Whatever the file says (counts, lengths, sizes, places) is compared with how long it is before anything of that size is
made, so that no file can take more memory than its own length suggests. Everything wrong is one line that names the
file and the key or the tensor.
"""

import hashlib
import mmap
import struct
from math import prod
from pathlib import Path

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import explain_os_error
from homespun.interchange.gguf.container import (
    ALIGNMENT,
    HEADER,
    LONGEST_KEY,
    LONGEST_TENSOR_NAME,
    MARK,
    MOST_DIMENSIONS,
    SEAL_KEY,
    UNSEALED,
    VERSION,
    Container,
    Entry,
    padding,
)
from homespun.interchange.gguf.cursor import Cursor, damaged
from homespun.interchange.gguf.numbers import NUMBER_OF_CODE, NUMBERS, OTHER_TYPES, Number
from homespun.interchange.gguf.values import Kind, Value, read_text, read_value

READ_VERSIONS = (2, VERSION)  # 3 only added that a file may be big-endian
ALIGNMENT_KEY = "general.alignment"
LARGEST_ALIGNMENT = 1 << 20
# The least that an entry takes: a metadata value (an empty key, a type, a byte), a tensor (an empty name, one size).
SMALLEST_VALUE = 8 + 4 + 1
SMALLEST_ENTRY = 8 + 4 + 8 + 4 + 8
COUNT = struct.Struct("<I")
PLACE = struct.Struct("<Q")
HASH_BLOCK = 1 << 22


def read_container(path: Path) -> Container:
    """Read the head of the file; damage is a ``DamagedFileError``, a type we do not read a ``HomespunError``."""
    raw = map_file(path)
    cursor = Cursor(raw, path)
    tensors, values = read_header(cursor)
    places: dict[str, int] = {}
    metadata = read_metadata(cursor, values, places)
    if SEAL_KEY in metadata:
        check_seal(cursor, metadata[SEAL_KEY], places[SEAL_KEY])
    alignment = read_alignment(cursor, metadata)
    return Container(path, raw, metadata, read_entries(cursor, tensors, alignment))


def map_file(path: Path) -> mmap.mmap:
    """The file, mapped into memory."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        raise damaged(path, "it is empty") from None
    except OSError as error:
        if path.is_dir():
            raise HomespunError(f"{path} is a folder; give a .gguf file") from None
        raise explain_os_error(error, "cannot read") from error


def read_header(cursor: Cursor) -> tuple[int, int]:
    """How many tensors and metadata values there are."""
    if cursor.take(min(len(MARK), cursor.left()), "the mark") != MARK:
        raise DamagedFileError(f"{cursor.path} is not a GGUF file (it does not begin with GGUF)")
    version, tensors, values = HEADER.unpack(cursor.take(HEADER.size, "the header"))
    if version not in READ_VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        what = f"a big-endian GGUF file of version {swapped}" if swapped in READ_VERSIONS else f"GGUF version {version}"
        raise HomespunError(f"{cursor.path} is {what}; homespun reads little-endian files of versions 2 and 3")
    for count, smallest, what in ((values, SMALLEST_VALUE, "metadata values"), (tensors, SMALLEST_ENTRY, "tensors")):
        if count > cursor.left() // smallest:
            raise cursor.damaged(f"it says that it has {count:,} {what}, for which it is too short")
    return tensors, values


def read_metadata(cursor: Cursor, count: int, places: dict[str, int]) -> dict[str, Value]:
    """All metadata values by key; ``places`` gets the byte behind each."""
    metadata: dict[str, Value] = {}
    for number in range(1, count + 1):
        key = read_text(cursor, f"the key of metadata value {number}")
        if not key.isascii() or not key.isprintable() or not 0 < len(key) <= LONGEST_KEY:
            raise cursor.damaged(f"the key of metadata value {number} is not one")
        if key in metadata:
            raise cursor.damaged(f"the key {shorten(key)} stands there twice")
        metadata[key] = read_value(cursor, shorten(key))
        places[key] = cursor.at
    return metadata


def shorten(name: str) -> str:
    """A name for a message, never at length."""
    return name if len(name) <= 80 else name[:79] + "…"


def check_seal(cursor: Cursor, seal: Value, end: int) -> None:
    """Compare the checksum of the file with that in it, which ends at the byte ``end``."""
    if seal.kind != Kind.STRING or len(seal.content) != len(UNSEALED):
        raise cursor.damaged(f"{SEAL_KEY} is no checksum")
    start = end - len(UNSEALED)
    checksum = hashlib.sha256(cursor.raw[:start] + UNSEALED.encode("ascii"))
    for place in range(end, len(cursor.raw), HASH_BLOCK):
        checksum.update(cursor.raw[place : place + HASH_BLOCK])
    if checksum.hexdigest() != seal.content:
        raise DamagedFileError(
            f"{cursor.path} is not as homespun wrote it (its contents do not match its {SEAL_KEY}); export it again"
        )


def read_alignment(cursor: Cursor, metadata: dict[str, Value]) -> int:
    """Of what the place of every tensor is a multiple."""
    value = metadata.get(ALIGNMENT_KEY, Value(Kind.UINT32, ALIGNMENT))
    alignment = value.content
    if value.kind != Kind.UINT32 or not 0 < alignment <= LARGEST_ALIGNMENT or alignment & alignment - 1:
        raise cursor.damaged(f"{ALIGNMENT_KEY} is {alignment!r:.40}, not a power of two")
    return alignment


def read_entries(cursor: Cursor, count: int, alignment: int) -> dict[str, Entry]:
    """The entries of all tensors: without gaps behind each other, up to the end of the file."""
    found: list[tuple[str, tuple[int, ...], Number, int]] = []
    for number in range(1, count + 1):
        name = read_text(cursor, f"the name of tensor {number}")
        what = f"the tensor {shorten(name)}"
        if not name.isprintable() or not 0 < len(name.encode("utf-8")) <= LONGEST_TENSOR_NAME:
            raise cursor.damaged(f"the name of tensor {number} is not one")
        shape = read_shape(cursor, what)
        stored = read_number(cursor, what)
        if shape[-1] % stored.weights:
            raise cursor.damaged(f"{what} has rows of {shape[-1]} weights, no multiple of a block of {stored.name}")
        found.append((name, shape, stored, cursor.number(PLACE, what)))
    first = cursor.at + padding(cursor.at, alignment)
    entries: dict[str, Entry] = {}
    expected = 0
    for name, shape, stored, place in found:
        what = f"the tensor {shorten(name)}"
        size = stored.bytes_of(prod(shape))
        if name in entries:
            raise cursor.damaged(f"{what} stands there twice")
        if place != expected:
            raise cursor.damaged(f"{what} stands at {place:,} where {expected:,} would be right")
        if first + place + size > len(cursor.raw):
            raise cursor.damaged(f"{what} reaches to byte {first + place + size:,}, the file to {len(cursor.raw):,}")
        entries[name] = Entry(shape, stored, first + place, size)
        expected = place + size + padding(size, alignment)
    return entries


def read_shape(cursor: Cursor, what: str) -> tuple[int, ...]:
    """The sizes of a tensor, rows first; the file has them the other way round."""
    dimensions = cursor.number(COUNT, what)
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise cursor.damaged(f"{what} has {dimensions:,} dimensions")
    sizes = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions, what))
    if 0 in sizes:
        raise cursor.damaged(f"{what} is empty")
    return sizes[::-1]


def read_number(cursor: Cursor, what: str) -> Number:
    """How a tensor is stored."""
    code = cursor.number(COUNT, what)
    if code in NUMBER_OF_CODE:
        return NUMBER_OF_CODE[code]
    if code in OTHER_TYPES:
        raise HomespunError(
            f"{cursor.path}: {what} is stored as {OTHER_TYPES[code]}; homespun reads {', '.join(NUMBERS)}"
        )
    raise cursor.damaged(f"{what} has the unknown type {code}")
