"""One readable JSON file <-> ``Vocabulary``.

In and out: ``{"format", "version", "pattern", "expression", "special_tokens", "chat_template", "merges", "sha256"}``,
one merge per line. The expression of the pattern is in the file as well as its name, so that a tokenizer made with
another version of the pattern is refused instead of splitting silently in another way. ``sha256`` covers all the rest.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import read_json, write_atomic
from homespun.tokenizer.patterns import PATTERNS, find_pattern
from homespun.tokenizer.settings import BYTES, LARGEST_VOCABULARY
from homespun.tokenizer.special import END_OF_TEXT
from homespun.tokenizer.vocabulary import Vocabulary

FORMAT = "homespun-tokenizer"
VERSION = 1


def contents(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return everything that the file holds, except its checksum. What is as usual is left out."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
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


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write the file, atomically."""
    value = contents(vocabulary)
    head = {key: part for key, part in value.items() if key not in ("merges", "ids")} | {"sha256": digest(value)}
    text = json.dumps(head, indent=1).removesuffix("\n}")
    if "ids" in value:
        text += f',\n "ids": {json.dumps(value["ids"])}'
    lines = ",\n  ".join(f"[{left}, {right}]" for left, right in vocabulary.merges)
    write_atomic(path, text + f',\n "merges": [\n  {lines}\n ]\n}}\n')


def load_vocabulary(path: Path) -> Vocabulary:
    """Read and check the file; anything wrong in it is a ``DamagedFileError`` of one line."""
    try:
        value = read_json(path)
    except RecursionError:
        raise DamagedFileError(f"{path} is damaged (nested too deep); make it again") from None
    fault = find_fault(value)
    if fault:
        raise DamagedFileError(f"{path}: {fault}")
    try:
        return Vocabulary(
            pattern=value["pattern"],
            merges=tuple((left, right) for left, right in value["merges"]),
            special_tokens=value["special_tokens"],
            ids=tuple(value["ids"]) if "ids" in value else None,
            end_of_text=value.get("end_of_text", END_OF_TEXT),
            chat_template=value["chat_template"],
        )
    except HomespunError as error:
        raise DamagedFileError(f"{path} is damaged ({error}); make it again") from error


def find_fault(value: Any) -> str | None:
    """Return what is wrong with the JSON of a tokenizer, or None."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return "not a homespun tokenizer; give the file that training a tokenizer wrote"
    if value.get("version") != VERSION:
        return f"made by another version of homespun (format {value.get('version')!r}, this one reads {VERSION})"
    rest = {key: part for key, part in value.items() if key != "sha256"}
    try:
        whole = value.get("sha256") == digest(rest)
    except RecursionError:
        whole = False
    if not whole:
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


def are_merges(value: Any) -> bool:
    """Tell whether ``value`` is a list of pairs of whole numbers."""
    if not isinstance(value, list) or len(value) > LARGEST_VOCABULARY - BYTES:
        return False
    return all(isinstance(pair, list) and [type(token) for token in pair] == [int, int] for pair in value)


def are_ids(value: Any, number: int) -> bool:
    """Tell whether ``value`` is a list of ``number`` whole numbers."""
    return isinstance(value, list) and len(value) == number and all(type(token) is int for token in value)


def are_special_tokens(value: Any) -> bool:
    """Tell whether ``value`` maps names to whole numbers."""
    return isinstance(value, dict) and all(type(token) is int for token in value.values())
