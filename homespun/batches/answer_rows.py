"""Conversations as rows of token ids, each token marked by whether it is to be learned; cropped, stored, read back.

In: the messages of a conversation as ids (``homespun.tokenizer.chat``). Out: rows of at most so many tokens, each with
something to learn. The storage is flat files, read by memory map:

    SPLIT.tokens   uint32  the ids of all rows, one behind the other
    SPLIT.learned  uint8   1 for those that are to be learned, 0 for the others
    SPLIT.ends     int64   where each row ends
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from homespun.common.errors import DamagedFileError
from homespun.common.files import read_json, sha256_of_file, write_json
from homespun.tokenizer.chat import ASSISTANT, Turn, newest

FORMAT_VERSION = 1
KINDS = {"tokens": np.dtype("<u4"), "learned": np.dtype("u1"), "ends": np.dtype("<i8")}


class Row(NamedTuple):
    """``ids``, and which of them are ``learned``."""

    ids: list[int]
    learned: list[int]


@dataclass
class Cropped:
    """What did not fit: conversations that lost their oldest messages, whose answer was cut, or that had no room.

    ``sources``: of pairs of texts, those that lost their end.
    """

    conversations: int = 0
    sources: int = 0
    shortened: int = 0
    cut: int = 0
    left_out: int = 0


def row_of(turns: Sequence[Turn], room: int, everything: bool, cropped: Cropped) -> Row | None:
    """The newest messages that fit into ``room`` tokens; None where nothing of an answer does.

    ``everything``: questions and control tokens are learned as well. What is learned of a message of the assistant is
    what it says and the token that ends it. A last answer that is too long is cut behind its beginning.
    """
    cropped.conversations += 1
    kept = newest(turns, room + len(turns[-1].after))  # what follows the last message is no part of the row
    cropped.shortened += len(kept) < len(turns)
    ids: list[int] = []
    learned: list[int] = []
    for one in kept:
        for part, is_said in ((one.before, False), (one.said, True), (one.after, False)):
            ids += part
            learned += [int(is_said and one.role == ASSISTANT)] * len(part)
    whole = len(ids) - len(kept[-1].after)
    cropped.cut += whole > room
    ids, learned = ids[: min(whole, room)], learned[: min(whole, room)]
    if not any(learned):
        cropped.cut -= 1
        cropped.left_out += 1
        return None
    return Row(ids, [1] * len(ids) if everything else learned)


def write_rows(rows: Iterable[Row], folder: Path, split: str) -> dict[str, Any]:
    """The three files of a split; its entry in a manifest."""
    paths = {kind: folder / f"{split}.{kind}" for kind in KINDS}
    ends, learned = [0], 0
    with paths["tokens"].open("wb") as tokens_file, paths["learned"].open("wb") as learned_file:
        for row in rows:
            tokens_file.write(np.array(row.ids, KINDS["tokens"]).tobytes())
            learned_file.write(np.array(row.learned, KINDS["learned"]).tobytes())
            ends.append(ends[-1] + len(row.ids))
            learned += sum(row.learned)
    paths["ends"].write_bytes(np.array(ends[1:], KINDS["ends"]).tobytes())
    return {
        "rows": len(ends) - 1,
        "tokens": ends[-1],
        "learned": learned,
        "shards": [{"file": path.name, "sha256": sha256_of_file(path)} for path in paths.values()],
    }


def write_manifest(folder: Path, splits: dict[str, dict[str, Any]], cropped: Cropped) -> None:
    """``manifest.json``."""
    write_json(folder / "manifest.json", {"format": FORMAT_VERSION, "splits": splits, "cropped": asdict(cropped)})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, of a version that this program reads."""
    manifest = read_json(folder / "manifest.json")
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION or not isinstance(manifest.get("splits"), dict):
        raise DamagedFileError(
            f"{folder} holds rows of format {version!r}, this version reads {FORMAT_VERSION}; delete it and run again"
        )
    return manifest


def verify_rows(folder: Path) -> None:
    """Compare every file with its checksum; the first one that differs is named."""
    for split in read_manifest(folder)["splits"].values():
        for shard in split["shards"]:
            path = folder / shard["file"]
            if not path.exists() or sha256_of_file(path) != shard["sha256"]:
                state = "is damaged (its checksum differs)" if path.exists() else "is missing"
                raise DamagedFileError(f"tokens of conversations {path} {state}; delete {folder} and run again")


class AnswerRows:
    """The rows of a split, by number."""

    def __init__(self, folder: Path, split: str) -> None:
        self.ends = np.fromfile(folder / f"{split}.ends", KINDS["ends"]).astype(np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])
        self.lengths = self.ends - self.starts
        self.tokens, self.learned = (
            np.memmap(folder / f"{split}.{kind}", KINDS[kind], "r") for kind in ("tokens", "learned")
        )

    def __len__(self) -> int:
        return len(self.ends)

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (T,) int64, and which of them are learned (T,) bool."""
        part = slice(int(self.starts[number]), int(self.ends[number]))
        return self.tokens[part].astype(np.int64), self.learned[part].astype(bool)
