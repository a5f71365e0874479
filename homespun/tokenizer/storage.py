"""One readable JSON file <-> ``Vocabulary``.

In and out: ``{"format", "version", "pattern", "expression", "special_tokens", "chat_template", "merges", "sha256"}``,
and where they differ from the usual ``"ids"`` and ``"end_of_text"``; one merge per line. The expression of the pattern
is in the file as well as its name, so that a tokenizer made with another version of the pattern is refused instead of
splitting silently in another way. ``sha256`` covers all the rest.
"""

import gc
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import explain_os_error, write_atomic
from homespun.tokenizer.patterns import PATTERNS, find_pattern
from homespun.tokenizer.settings import BYTES, LARGEST_VOCABULARY
from homespun.tokenizer.special import END_OF_TEXT
from homespun.tokenizer.vocabulary import Vocabulary

FORMAT = "homespun-tokenizer"
VERSION = 2
# In version 1 the checksum was of the contents as canonical JSON; writing that took longer than reading all the rest.
OLD_VERSION = 1
UNSEALED = "0" * 64


def contents(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return all that decides what a tokenizer does. What is as usual is left out."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "version": OLD_VERSION,
        "pattern": vocabulary.pattern,
        "expression": find_pattern(vocabulary.pattern).expression,
        "special_tokens": dict(vocabulary.special_tokens),
        "chat_template": vocabulary.chat_template,
        "merges": [list(pair) for pair in vocabulary.merges],
    }
    if vocabulary.ids is not None:
        value["ids"] = list(vocabulary.ids)
    if vocabulary.end_of_text != END_OF_TEXT:
        value["end_of_text"] = vocabulary.end_of_text
    return value


def digest(value: dict[str, Any]) -> str:
    """Return the SHA-256 of ``value`` as compact JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def seal(text: str) -> str:
    """Put the checksum of a file's text into it, in the place of the first UNSEALED."""
    return text.replace(UNSEALED, hashlib.sha256(text.encode("utf-8")).hexdigest(), 1)


def is_sealed(raw: bytes, checksum: str) -> bool:
    """Tell whether a file's bytes are those that ``seal`` made."""
    return hashlib.sha256(raw.replace(checksum.encode("utf-8"), UNSEALED.encode("ascii"), 1)).hexdigest() == checksum


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write the file, atomically."""
    value = contents(vocabulary) | {"version": VERSION}
    head = {"sha256": UNSEALED} | {key: part for key, part in value.items() if key not in ("merges", "ids")}
    text = json.dumps(head, indent=1).removesuffix("\n}")
    if "ids" in value:
        text += f',\n "ids": {json.dumps(value["ids"])}'
    lines = ",\n  ".join(f"[{left}, {right}]" for left, right in vocabulary.merges)
    write_atomic(path, seal(text + f',\n "merges": [\n  {lines}\n ]\n}}\n'))


def load_vocabulary(path: Path) -> Vocabulary:
    """Read and check the file; anything wrong in it is a ``DamagedFileError`` of one line."""
    with no_collection():
        return read_vocabulary(path)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python from looking for garbage while hundreds of thousands of small lists are made: half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_vocabulary(path: Path) -> Vocabulary:
    """Read and check the file."""
    try:
        raw = path.read_bytes()
        value = json.loads(raw)
    except OSError as error:
        raise explain_os_error(error, "cannot read the tokenizer") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else f"not JSON: {error}"
        raise DamagedFileError(f"{path} is damaged ({reason}); make it again") from None
    fault = find_fault(value, raw)
    if fault:
        raise DamagedFileError(f"{path}: {fault}")
    try:
        return Vocabulary(
            pattern=value["pattern"],
            merges=tuple(map(tuple, value["merges"])),
            special_tokens=value["special_tokens"],
            ids=tuple(value["ids"]) if "ids" in value else None,
            end_of_text=value.get("end_of_text", END_OF_TEXT),
            chat_template=value["chat_template"],
            checks_bytes=False,
        )
    except HomespunError as error:
        raise DamagedFileError(f"{path} is damaged ({error}); make it again") from error


def find_fault(value: Any, raw: bytes) -> str | None:
    """Return what is wrong with the JSON of a tokenizer and the bytes that it came from, or None."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return "not a homespun tokenizer; give the file that training a tokenizer wrote"
    if value.get("version") not in (VERSION, OLD_VERSION):
        return f"made by another version of homespun (format {value.get('version')!r}, this one reads {VERSION})"
    if not has_right_checksum(value, raw):
        return "damaged (its contents do not match their sha256); make it again"
    pattern = PATTERNS.get(value["pattern"]) if isinstance(value.get("pattern"), str) else None
    if pattern is None:
        return f"unknown split pattern {value.get('pattern')!r}; this version has {', '.join(PATTERNS)}"
    if value.get("expression") != pattern.expression:
        return f"the split pattern {pattern.name} was another one when it was made; train the tokenizer again"
    for key, is_right in (
        ("merges", are_merges(value.get("merges"))),
        ("special_tokens", are_special_tokens(value.get("special_tokens"))),
        ("ids", "ids" not in value or are_ids(value["ids"], len(value["merges"]) + BYTES)),
        ("end_of_text", isinstance(value.get("end_of_text", ""), str)),
        ("chat_template", value.get("chat_template", 0) is None or isinstance(value.get("chat_template"), str)),
    ):
        if not is_right:
            return f"damaged ({key} is not what it should be); make it again"
    return None


def has_right_checksum(value: dict[str, Any], raw: bytes) -> bool:
    """Tell whether nothing was changed since the file was written."""
    checksum = value.get("sha256")
    if not isinstance(checksum, str):
        return False
    if value["version"] == VERSION:
        return is_sealed(raw, checksum)
    try:
        return checksum == digest({key: part for key, part in value.items() if key != "sha256"})
    except RecursionError:
        return False


def are_merges(value: Any) -> bool:
    """Tell whether ``value`` is a list of pairs of whole numbers."""
    if not isinstance(value, list) or len(value) > LARGEST_VOCABULARY - BYTES:
        return False
    if not (set(map(type, value)) <= {list} and set(map(len, value)) <= {2}):
        return False
    return set(map(type, chain.from_iterable(value))) <= {int}


def are_ids(value: Any, number: int) -> bool:
    """Tell whether ``value`` is a list of ``number`` whole numbers."""
    return isinstance(value, list) and len(value) == number and set(map(type, value)) <= {int}


def are_special_tokens(value: Any) -> bool:
    """Tell whether ``value`` maps names to whole numbers."""
    return isinstance(value, dict) and all(type(token) is int for token in value.values())
