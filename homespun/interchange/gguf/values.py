"""Metadata values of GGUF: a value and its type -> bytes, and bytes -> the same.

All types of version 3, little-endian: whole numbers of 8 to 64 bits, two sizes of floating point, truth values, text,
and arrays of any of these, also of arrays. Source: the GGUF specification, ``docs/gguf.md`` of the ggml project.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from homespun.interchange.gguf.cursor import Cursor

# Nobody nests arrays; a file may not make us recurse as often as it likes.
DEEPEST_ARRAY = 4


class Kind(IntEnum):
    """The type of a value, as its number in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


WHOLE = {
    Kind.UINT8: "B",
    Kind.INT8: "b",
    Kind.UINT16: "H",
    Kind.INT16: "h",
    Kind.UINT32: "I",
    Kind.INT32: "i",
    Kind.UINT64: "Q",
    Kind.INT64: "q",
}
REAL = {Kind.FLOAT32: "f", Kind.FLOAT64: "d"}
# How ``struct`` writes one of them; a truth value is a byte that is 0 or 1.
FORMATS = {**WHOLE, **REAL, Kind.BOOL: "B"}
LENGTH = struct.Struct("<Q")
NUMBER_OF_KIND = struct.Struct("<I")


@dataclass(frozen=True)
class Value:
    """A value and its type; that of an array is ``Items``."""

    kind: Kind
    content: Any


@dataclass(frozen=True)
class Items:
    """The content of an array: values without types, all of the one ``kind``."""

    kind: Kind
    values: tuple[Any, ...]


def text(content: str) -> Value:
    return Value(Kind.STRING, content)


def whole(content: int) -> Value:
    """A size or an id, in the type that llama.cpp asks for."""
    return Value(Kind.UINT32, content)


def real(content: float) -> Value:
    return Value(Kind.FLOAT32, content)


def truth(content: bool) -> Value:
    return Value(Kind.BOOL, content)


def array(kind: Kind, contents: Any) -> Value:
    return Value(Kind.ARRAY, Items(kind, tuple(contents)))


def pack_text(content: str) -> bytes:
    """Write a text: its length in bytes, then UTF-8."""
    raw = content.encode("utf-8")
    return LENGTH.pack(len(raw)) + raw


def pack_value(value: Value) -> bytes:
    """Write a value with its type before it."""
    return NUMBER_OF_KIND.pack(value.kind) + pack_content(value.kind, value.content)


def pack_content(kind: Kind, content: Any) -> bytes:
    """Write a value without its type."""
    if kind == Kind.STRING:
        return pack_text(content)
    if kind != Kind.ARRAY:
        return struct.pack("<" + FORMATS[kind], content)
    head = NUMBER_OF_KIND.pack(content.kind) + LENGTH.pack(len(content.values))
    if content.kind in FORMATS:
        return head + struct.pack(f"<{len(content.values)}{FORMATS[content.kind]}", *content.values)
    return head + b"".join(pack_content(content.kind, item) for item in content.values)


def read_text(cursor: Cursor, what: str) -> str:
    """Read a text; one that is longer than the rest of the file, or no UTF-8, is a ``DamagedFileError``."""
    raw = cursor.take(cursor.number(LENGTH, what), what)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise cursor.damaged(f"{what} is not UTF-8") from None


def read_kind(cursor: Cursor, what: str) -> Kind:
    """Read the type of a value; a number that no type has is a ``DamagedFileError``."""
    number = cursor.number(NUMBER_OF_KIND, what)
    try:
        return Kind(number)
    except ValueError:
        raise cursor.damaged(f"{what} has the unknown type {number}") from None


def read_value(cursor: Cursor, what: str) -> Value:
    """Read a value with its type before it; ``what`` names it in errors."""
    kind = read_kind(cursor, what)
    return Value(kind, read_content(cursor, kind, what, DEEPEST_ARRAY))


def read_content(cursor: Cursor, kind: Kind, what: str, depth: int) -> Any:
    """Read a value without its type."""
    if kind == Kind.STRING:
        return read_text(cursor, what)
    if kind == Kind.ARRAY:
        return read_items(cursor, what, depth)
    return read_numbers(cursor, kind, 1, what)[0]


def read_items(cursor: Cursor, what: str, depth: int) -> Items:
    """Read an array; no more items than the rest of the file has room for."""
    if not depth:
        raise cursor.damaged(f"{what} has arrays in arrays, more than {DEEPEST_ARRAY} deep")
    kind = read_kind(cursor, what)
    count = cursor.number(LENGTH, what)
    if kind in FORMATS:
        return Items(kind, read_numbers(cursor, kind, count, what))
    # A text takes at least its length of 8 bytes, an array its type and its length.
    if count > cursor.left() // LENGTH.size:
        raise cursor.damaged(f"{what} says that it has {count:,} items, for which the file is too short")
    return Items(kind, tuple(read_content(cursor, kind, what, depth - 1) for _ in range(count)))


def read_numbers(cursor: Cursor, kind: Kind, count: int, what: str) -> tuple[Any, ...]:
    """Read ``count`` numbers or truth values."""
    raw = cursor.take(count * struct.calcsize("<" + FORMATS[kind]), what)
    numbers = struct.unpack(f"<{count}{FORMATS[kind]}", raw)
    if kind != Kind.BOOL:
        return numbers
    if not set(numbers) <= {0, 1}:
        raise cursor.damaged(f"{what} is a truth value, but neither 0 nor 1")
    return tuple(map(bool, numbers))
