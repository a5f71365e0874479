"""NumPy's ``.npz``: how the variables of a TensorFlow checkpoint are kept without TensorFlow.

A zip file with one ``.npy`` for each array. Arrays of Python objects are pickles and are refused; the zip has a
checksum for each array, so a changed number is noticed.
"""

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import torch

from homespun.common.array_files import DAMAGED_ARRAYS, in_one_line
from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import explain_os_error

ENDING = ".npy"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Header:
    """What stands before the numbers of one array."""

    shape: tuple[int, ...]
    kind: np.dtype


class NumpyArchive:
    """A ``TensorSource``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
            self.headers = {
                info.filename.removesuffix(ENDING): self.header(info)
                for info in self.archive.infolist()
                if info.filename.endswith(ENDING) and info.filename.isprintable()
            }
        except OSError as error:
            raise explain_os_error(error, "cannot read") from error
        except DAMAGED_ARRAYS as error:
            raise DamagedFileError(f"{path} is damaged (as a zip file: {in_one_line(error)}); get it again") from error

    def header(self, info: zipfile.ZipInfo) -> Header:
        """Of one array, if it agrees with the size that the archive gives."""
        with self.archive.open(info) as file:
            try:
                shape, _, kind = self.parse(file)
            except DAMAGED_ARRAYS as error:
                raise self.damaged(info.filename, error) from error
            begin = file.tell()
        if kind.hasobject:
            raise HomespunError(
                f"{self.path}: {info.filename} has Python objects in it, which is a pickle: to read it is to run "
                "whatever program its maker put into it; save arrays of numbers"
            )
        if begin + prod(shape) * kind.itemsize != info.file_size:
            raise DamagedFileError(
                f"{self.path}: {info.filename} is damaged (shape {shape} of {kind} in {info.file_size:,} bytes)"
            )
        return Header(shape, kind)

    def damaged(self, name: str, error: Exception) -> DamagedFileError:
        """The line for one array that cannot be read."""
        return DamagedFileError(f"{self.path}: {name} is damaged ({in_one_line(error)}); get it again")

    def parse(self, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
        """NumPy's own header: shape, order, type."""
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"version {version} of the format")
        return HEADERS[version](file)

    def names(self) -> Collection[str]:
        return self.headers.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.headers[name].shape

    def type_name(self, name: str) -> str:
        return str(self.headers[name].kind)

    def is_float(self, name: str) -> bool:
        return self.headers[name].kind.kind == "f" and self.headers[name].kind.itemsize <= 8

    def file(self, name: str) -> Path:
        return self.path

    def read(self, name: str) -> torch.Tensor:
        try:
            with self.archive.open(name + ENDING) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
        except DAMAGED_ARRAYS as error:
            raise self.damaged(name, error) from error
        return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))
