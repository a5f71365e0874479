"""``.npz`` files with headers that NumPy's parser fails at, each in another way."""

import struct
import zipfile
from pathlib import Path

HEADERS = {
    "cut off": b"{'descr': (",
    "open text": b"'''",
    "zero": b"\x00",
    "indented": b"  x = 1\n y",
    "list as key": b"{[]: 1}",
    "empty type": b"{'descr': (), 'fortran_order': False, 'shape': ()}",
    "no type": b"{'descr': ',', 'fortran_order': False, 'shape': ()}",
    "negative": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
    "huge": b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000,)}",
    "deep": b"(" * 5000,
    "long": b" " * 20000,
}


def write_archive(path: Path, name: str, header: bytes) -> None:
    """A file with one array, of which there is nothing but this header."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)


def encrypt(path: Path) -> None:
    """Say of every file in the archive that it is encrypted."""
    raw = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + flags] |= 1
    path.write_bytes(raw)
