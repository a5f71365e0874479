"""Tokenizer files of other programs <-> ``Vocabulary``; what cannot be reproduced exactly is refused in one line.

In: a path. Out: a vocabulary with the public ids that the file gives; and back. In reading order:

- ``printable``: bytes as printable characters, as GPT-2 and Hugging Face write tokens.
- ``reading``: files within bounds, and one clear line for damaged ones.
- ``recover_merges``: tokens by rank -> merges, for formats that store only tokens.
- ``named_merges``: merges by name and a table of ids -> merges and ids in our order.
- ``tiktoken_file``, ``gpt2_files``, ``huggingface``: the formats.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homespun.common.errors import HomespunError, UsageError
from homespun.tokenizer.formats.gpt2_files import MERGES_BESIDE, PUBLISHED_PATTERN, read_gpt2, write_gpt2, written_paths
from homespun.tokenizer.formats.huggingface import read_huggingface, write_huggingface
from homespun.tokenizer.formats.named_merges import NAMES_OF_END
from homespun.tokenizer.formats.reading import is_table_of_ids, json_of, read_bytes
from homespun.tokenizer.formats.tiktoken_file import read_tiktoken, write_tiktoken
from homespun.tokenizer.patterns import find_pattern
from homespun.tokenizer.storage import FORMAT, load_vocabulary, save_vocabulary
from homespun.tokenizer.vocabulary import Vocabulary

__all__ = ["READERS", "WRITERS", "left_out", "paths_written", "read_vocabulary", "recognize", "write_vocabulary"]

Reader = Callable[[Path, str | None, str | None], Vocabulary]

READERS: dict[str, Reader] = {"tiktoken": read_tiktoken, "gpt2": read_gpt2, "huggingface": read_huggingface}
WRITERS: dict[str, Callable[[Vocabulary, Path], None]] = {
    "tiktoken": write_tiktoken,
    "gpt2": write_gpt2,
    "huggingface": write_huggingface,
    "homespun": save_vocabulary,
}
# What to look for in a folder, such as one that Hugging Face's library wrote.
NAMES_IN_FOLDER = ("tokenizer.json", "vocab.bpe", "merges.txt")
KNOWN = "homespun reads its own tokenizers, .tiktoken, vocab.bpe (merges.txt) and Hugging Face's tokenizer.json"
TIKTOKEN_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n?")
HEAD = 4096


def read_vocabulary(path: Path, pattern: str | None = None, end_of_text: str | None = None) -> Vocabulary:
    """Read a tokenizer file of any format that we know, told by its name and content; or a folder with one in it.

    ``pattern`` names the split where the file lacks it; ``end_of_text`` names the special token that divides documents
    where the file does not make it plain. Anything that is not right is a ``HomespunError`` of one line.
    """
    if pattern is not None:
        find_pattern(pattern)
    format_name, file = recognize(path)
    if format_name in READERS:
        return READERS[format_name](file, pattern, end_of_text)
    vocabulary = load_vocabulary(file)
    if pattern not in (None, vocabulary.pattern) or end_of_text not in (None, vocabulary.end_of_text):
        raise UsageError(f"{file} is a homespun tokenizer and has its pattern and end of text; leave out the options")
    return vocabulary


def write_vocabulary(vocabulary: Vocabulary, path: Path, format_name: str) -> None:
    """Write a tokenizer file; an unknown format is a ``UsageError``, what a format cannot hold a ``HomespunError``."""
    if format_name not in WRITERS:
        raise UsageError(f"unknown format {format_name!r}; choose one of {', '.join(WRITERS)}")
    WRITERS[format_name](vocabulary, path)


def paths_written(path: Path, format_name: str) -> tuple[Path, ...]:
    """Return the files that ``write_vocabulary`` would write."""
    return written_paths(path) if format_name == "gpt2" else (path,)


def left_out(vocabulary: Vocabulary, format_name: str) -> list[str]:
    """Return what a format has no place for, in words: whoever reads the file has to know it."""
    special = ", ".join(f"{name} {token}" for name, token in vocabulary.special_tokens.items())
    lost = {
        "the chat template": vocabulary.chat_template is not None and format_name != "homespun",
        f"the pattern {vocabulary.pattern}": format_name == "tiktoken"
        or (format_name == "gpt2" and vocabulary.pattern != PUBLISHED_PATTERN),
        f"the special tokens {special}": format_name == "tiktoken",
        f"that {vocabulary.end_of_text} divides documents": format_name in ("gpt2", "huggingface")
        and vocabulary.end_of_text != next((name for name in NAMES_OF_END if name in vocabulary.special_tokens), None),
    }
    return [what for what, is_lost in lost.items() if is_lost]


def recognize(path: Path) -> tuple[str, Path]:
    """Return the name of the format and the file to read: the neighbour of a table of ids, or one in a folder."""
    if path.is_dir():
        there = next((path / name for name in NAMES_IN_FOLDER if (path / name).is_file()), None)
        if there is None:
            raise HomespunError(f"{path}: the folder has no {' or '.join(NAMES_IN_FOLDER)}; give the file")
        path = there
    raw = read_bytes(path)
    if raw.lstrip()[:1] == b"{":
        return recognize_json(path, json_of(path, raw))
    if ".tiktoken" in path.suffixes[-2:]:
        return "tiktoken", path
    if path.name.endswith(("vocab.bpe", "merges.txt")) or raw.startswith(b"#version"):
        return "gpt2", path
    # Only the head is looked at, without its last line, which may be cut.
    lines = raw[:HEAD].splitlines(keepends=True)
    lines = lines[:-1] if len(lines) > 1 and len(raw) > HEAD else lines
    if lines and all(map(TIKTOKEN_LINE.fullmatch, lines)):
        return "tiktoken", path
    raise HomespunError(f"{path} is not a tokenizer file; {KNOWN}")


def recognize_json(path: Path, value: Any) -> tuple[str, Path]:
    """Tell what a JSON file is."""
    if isinstance(value, dict) and value.get("format") == FORMAT:
        return "homespun", path
    if isinstance(value, dict) and "model" in value and not is_table_of_ids(value):
        return "huggingface", path
    if not is_table_of_ids(value):
        raise HomespunError(f"{path} is JSON, but not a tokenizer; {KNOWN}")
    merges = path.with_name(MERGES_BESIDE.get(path.name, "vocab.bpe"))
    if not merges.exists():
        raise HomespunError(
            f"{path} holds only the ids of tokens; {merges.name}, which has the merges, is not beside it"
        )
    return "gpt2", merges
