"""A file, compressed or not, to blocks of bytes.

In: a path. Out: a readable stream of its decompressed bytes, which reports the bytes taken from the disk.
Compressions: gzip, bzip2 and xz by the standard library, Zstandard by pyarrow; told by the ending.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from homespun.common.files import READ_BLOCK
from homespun.common.progress import Advance, ignore

COMPRESSED_ENDINGS = (".gz", ".bz2", ".xz", ".zst")
# What the libraries raise at truncated or altered data (pyarrow: OSError).
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)


class CountingFile(io.RawIOBase):
    """A file opened for reading that reports every byte taken from the disk to ``advance``."""

    def __init__(self, path: Path, advance: Advance) -> None:
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by close)
        self.advance = advance

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer: Any) -> int:
        count = self.file.readinto(buffer)
        self.advance(count)
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


@contextlib.contextmanager
def open_bytes(path: Path, compression: str = "", advance: Advance = ignore) -> Iterator[BinaryIO]:
    """The decompressed bytes of ``path``; ``compression`` is one of ``COMPRESSED_ENDINGS`` or empty.

    Damaged data raises one of ``DAMAGE`` while it is read.
    """
    with CountingFile(path, advance) as raw:
        if compression == ".gz":
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast(BinaryIO, file)
        elif compression == ".bz2":
            with bz2.BZ2File(raw) as file:
                yield cast(BinaryIO, file)
        elif compression == ".xz":
            with lzma.LZMAFile(cast(BinaryIO, raw)) as file:
                yield cast(BinaryIO, file)
        elif compression == ".zst":
            import pyarrow

            with pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd") as file:
                yield file
        else:
            yield cast(BinaryIO, raw)


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """The stream in blocks of at most 1 MiB."""
    while block := file.read(READ_BLOCK):
        yield bytes(block)
