"""GPT-2's ``vocab.bpe`` and ``encoder.json`` <-> ``Vocabulary``.

In and out: one merge per line, two tokens in printable characters with a space between, most important first; and
beside it a JSON object name -> public id. Hugging Face calls them ``merges.txt`` and ``vocab.json``. Without the
second one the published numbering holds: the bytes in the order of ``printable.BYTES_IN_ORDER``, then the merges, then
``<|endoftext|>``. The split pattern is in neither file.

Source: ``get_encoder`` in OpenAI's gpt-2, ``src/encoder.py`` (MIT licence).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import explain_os_error, write_atomic
from homespun.tokenizer.formats.named_merges import (
    NamedPair,
    find_end_of_text,
    ids_of_names,
    learn_names,
    name_pairs,
    names_of,
    simplify,
)
from homespun.tokenizer.formats.printable import BYTES_IN_ORDER
from homespun.tokenizer.formats.reading import is_table_of_ids, json_of, read_bytes, shorten, text_of
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.special import END_OF_TEXT
from homespun.tokenizer.vocabulary import Vocabulary

HEADER = "#version: 0.2"
PUBLISHED_PATTERN = "gpt2"
MERGES_NAME = "vocab.bpe"
# The table beside a file of merges: OpenAI's names and Hugging Face's.
TABLE_BESIDE = {MERGES_NAME: "encoder.json", "merges.txt": "vocab.json"}
MERGES_BESIDE = {table: merges for merges, table in TABLE_BESIDE.items()}
# The table does not say which of its tokens are special. Those of such a shape are; others that no merge makes are
# refused.
SPECIAL_SHAPE = re.compile(r"<\S+>|\[\S+\]")


def table_path(merges_path: Path) -> Path:
    """Return where the table of ids stands: beside the merges."""
    return merges_path.with_name(TABLE_BESIDE.get(merges_path.name, TABLE_BESIDE[MERGES_NAME]))


def read_gpt2(path: Path, pattern: str | None = None, end_of_text: str | None = None) -> Vocabulary:
    """Read ``vocab.bpe``, and ``encoder.json`` if it stands beside it.

    Raises ``DamagedFileError`` for a line that is no merge, or a table that contradicts the merges.
    """
    pairs = parse_pairs(path, text_of(path, read_bytes(path)))
    beside = table_path(path)
    table = read_table(beside) if beside.exists() else None
    where = f"{path} and {beside}" if table else str(path)
    try:
        merges, names = learn_names(pairs)
        if table is None:
            special = {end_of_text or END_OF_TEXT: len(names)}
            ids: tuple[int, ...] = (*map(BYTES_IN_ORDER.index, range(BYTES)), *range(BYTES, len(names)))
        else:
            special = special_of_table(names, table)
            ids = ids_of_names(names, table, special)
        end = find_end_of_text(special, end_of_text)
        return Vocabulary(pattern or PUBLISHED_PATTERN, merges, special, simplify(ids), end)
    except HomespunError as error:
        raise type(error)(f"{where}: {error}") from error


def parse_pairs(path: Path, text: str) -> list[NamedPair]:
    """Return the pairs of names, one per line."""
    # Not splitlines: only a newline ends a line here.
    lines = text.removesuffix("\n").split("\n")
    first = 1 if lines[0].startswith("#version") else 0
    pairs = []
    for number, line in enumerate(lines[first:], start=first + 1):
        parts = line.removesuffix("\r").split(" ")
        if len(parts) != 2 or not all(parts):
            raise DamagedFileError(
                f"{path}, line {number}: {shorten(line)} is not two tokens and a space; get it again"
            )
        pairs.append((parts[0], parts[1]))
    return pairs


def read_table(path: Path) -> dict[str, int]:
    """Read name -> public id."""
    table = json_of(path, read_bytes(path))
    if not is_table_of_ids(table):
        raise DamagedFileError(f"{path} is not a JSON object of tokens and their ids; get it again")
    return table


def special_of_table(names: list[str], table: Mapping[str, int]) -> dict[str, int]:
    """Return the tokens that no merge makes and that look special, by ascending id."""
    extra = sorted(table.keys() - set(names), key=table.__getitem__)
    return {name: table[name] for name in extra if SPECIAL_SHAPE.fullmatch(name)}


def written_paths(path: Path) -> tuple[Path, Path]:
    """Return where the merges and the table go: ``path`` is a folder, or the file of merges."""
    merges = path if path.suffix in (".bpe", ".txt") else path / MERGES_NAME
    return merges, table_path(merges)


def write_gpt2(vocabulary: Vocabulary, path: Path) -> None:
    """Write both files; ``path`` is a folder, made if need be, or the path of ``vocab.bpe``.

    Raises ``HomespunError`` for special tokens that nobody could tell from others when reading.
    """
    names = names_of(vocabulary)
    for name in vocabulary.special_tokens:
        if not SPECIAL_SHAPE.fullmatch(name):
            raise HomespunError(
                f"the format tells special tokens only by <…> or […] around them, so {shorten(name)} would be lost; "
                "use the format huggingface"
            )
    merges_path, beside = written_paths(path)
    try:
        merges_path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, "cannot make") from error
    table = dict(zip(names, vocabulary.public_ids(), strict=True)) | dict(vocabulary.special_tokens)
    in_order = dict(sorted(table.items(), key=lambda entry: entry[1]))
    write_atomic(beside, json.dumps(in_order))
    lines = [HEADER, *(f"{left} {right}" for left, right in name_pairs(vocabulary, names))]
    write_atomic(merges_path, "\n".join(lines) + "\n")
