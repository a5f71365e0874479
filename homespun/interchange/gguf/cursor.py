"""A place in a file that moves on as it is read, and never beyond the end: a damaged file is one clear line.

In: the bytes of a file, mapped into memory. Out: numbers and byte strings from them.
"""

import mmap
import struct
from pathlib import Path

from homespun.common.errors import DamagedFileError


class Cursor:
    """Reads from ``at`` on; whatever the file says about its own sizes is compared with what there is."""

    def __init__(self, raw: mmap.mmap, path: Path) -> None:
        self.raw = raw
        self.path = path
        self.at = 0

    def left(self) -> int:
        """How many bytes are left."""
        return len(self.raw) - self.at

    def take(self, size: int, what: str) -> bytes:
        """The next ``size`` bytes; fewer are a ``DamagedFileError`` that names ``what`` is cut."""
        if size > self.left():
            raise self.damaged(f"{what} needs {size:,} bytes, and {self.left():,} are left")
        self.at += size
        return self.raw[self.at - size : self.at]

    def number(self, form: struct.Struct, what: str) -> int:
        """The next number."""
        return form.unpack(self.take(form.size, what))[0]

    def damaged(self, reason: str) -> DamagedFileError:
        """One line with the file, the reason and what to do."""
        return damaged(self.path, reason)


def damaged(path: Path, reason: str) -> DamagedFileError:
    """The one line for a file that cannot be right."""
    return DamagedFileError(f"{path} is damaged ({reason}); get it again")
