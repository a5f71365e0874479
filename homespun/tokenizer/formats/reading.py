"""Files of others -> bytes, text or JSON, within bounds and with one clear line for what is damaged.

In: a path. Out: bytes (unpacked, where the file is gzip), text, or JSON in which no key stands twice.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, TypeGuard

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import explain_os_error

# The largest published files have some 20 MB; a few kilobytes of gzip can unpack to more than the memory holds.
LARGEST_FILE = 256_000_000
GZIP_MARK = b"\x1f\x8b"
LONGEST_SHOWN = 60


def shorten(value: object) -> str:
    """Write ``value`` for a message: on one line, and never at length."""
    text = ascii(value) if isinstance(value, bytes) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def read_bytes(path: Path) -> bytes:
    """Read a file, unpacked if it is gzip; truncated, damaged or far too large is one line."""
    try:
        with open(path, "rb") as file:
            packed = file.read(len(GZIP_MARK)) == GZIP_MARK
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFileError(f"{path} is damaged (its gzip: {error}); get it again") from error
    except OSError as error:
        raise explain_os_error(error, "cannot read") from error
    if len(raw) > LARGEST_FILE:
        raise HomespunError(f"{path} has more than {LARGEST_FILE:,} bytes; no vocabulary is that large")
    return raw


def text_of(path: Path, raw: bytes) -> str:
    """Decode UTF-8; anything else is a ``DamagedFileError``."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is damaged (no UTF-8 at byte {error.start}); get it again") from error


def json_of(path: Path, raw: bytes) -> Any:
    """Parse JSON; a key that stands twice in one object is an error too, as one of the two would be lost."""
    try:
        return json.loads(text_of(path, raw), object_pairs_hook=make_object)
    except RecursionError:
        raise DamagedFileError(f"{path} is damaged (nested too deep); get it again") from None
    except ValueError as error:
        raise DamagedFileError(f"{path} is damaged (not JSON: {error}); get it again") from error


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary, or raise ``ValueError`` if a key stands twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {shorten(twice)} stands twice")
    return value


def is_table_of_ids(value: Any) -> TypeGuard[dict[str, int]]:
    """Tell whether ``value`` is a JSON object of whole numbers: names of tokens and their ids."""
    return isinstance(value, dict) and bool(value) and set(map(type, value.values())) == {int}
