"""Files that are either whole or absent: write aside, sync, rename; and their checksums.

A reader never sees half a file, whatever moment the process is killed at: the bytes go to a
temporary name in the same folder, are synced to the disk, and take their place by one rename,
which POSIX makes atomic. Folders work the same way.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from homespun.common.errors import DamagedFileError, HomespunError

TEMPORARY_PREFIX = ".unfinished-"
READ_BLOCK = 1 << 20


def explain_os_error(error: OSError, doing: str) -> HomespunError:
    """Turn an operating-system error into one line that says what to do about it."""
    where = f" {error.filename}" if error.filename else ""
    reasons = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EROFS: "the file system is read-only; choose another folder",
        errno.EACCES: "permission denied; choose another folder or change its permissions",
        errno.EPERM: "not permitted; choose another folder or change its permissions",
        errno.ENOENT: "no such file or folder",
        errno.ENOTDIR: "a part of the path is a file, not a folder",
        errno.EISDIR: "it is a folder, not a file",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return HomespunError(f"{doing}{where}: {reason}")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Give a temporary file to fill; on success it becomes ``path``, on failure it goes away."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise explain_os_error(error, "cannot write") from error
        raise


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` so that a kill at any moment leaves the old file or the new one."""
    with atomic_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or unreadable file is one clear line."""
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise explain_os_error(error, "cannot read") from error
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged (not JSON: {error}); make it again") from error


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes ``path``, on failure it goes away.

    An existing ``path`` is replaced only after the new one is whole.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                sync(file)
        sync(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise explain_os_error(error, "cannot write") from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sync(path: Path) -> None:
    """Ask the disk to have ``path`` (a file or a folder) before anything later."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written in ``folder``."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()
