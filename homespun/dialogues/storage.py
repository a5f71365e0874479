"""Two splits of conversations, pairs or preferences as a folder: a JSON-lines file each, and ``manifest.json``.

``write_dialogues`` writes it, whole or not at all; ``read_split`` reads one back. Which split an entry belongs to, the
hash of its question says: nobody is examined on a question that was in training, however it was answered there. The
sources are read twice, first for the hashes alone, so that the share is exact and the memory small.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import atomic_folder, read_json, sha256_of_file, write_json
from homespun.dialogues.asked import as_pair
from homespun.dialogues.dialogue import Conversation, Preference
from homespun.dialogues.forms import as_conversation, as_preference
from homespun.dialogues.read import DialoguesLeftOut, read_dialogues
from homespun.dialogues.settings import ConversationsConfig, DialogueConfig

T = TypeVar("T", Conversation, Preference)
FORMAT_VERSION = 1
SPLITS = ("train", "validation")
# By kind: how an entry is made of what stands in a file, and of what ``record`` wrote.
KINDS: dict[str, tuple[Callable[[Any], Any], Callable[[dict[str, Any]], Any]]] = {
    "conversations": (as_conversation, Conversation.from_record),
    "pairs": (as_pair, Conversation.from_record),
    "preferences": (as_preference, Preference.from_record),
}


def write_dialogues(paths: list[Path], config: DialogueConfig, folder: Path) -> None:
    """Both splits of what ``config.section`` names."""
    make = maker(config)
    left_out = DialoguesLeftOut()
    with atomic_folder(folder) as temporary:
        if config.validation_file:
            held_back = list(read_dialogues([Path(config.validation_file)], config, make, left_out))
            kept = set(map(question_hash, held_back))
            parts = {
                "validation": write_split(held_back, temporary, "validation", left_out),
                "train": write_split(
                    without(read_dialogues(paths, config, make, left_out), kept, left_out), temporary, "train", left_out
                ),
            }
        else:
            last = last_held_back(read_dialogues(paths, config, make, DialoguesLeftOut()), config)
            entries = read_dialogues(paths, config, make, left_out)
            parts = divide(entries, lambda one: seeded(one, config) <= last, temporary, left_out)
        for split in SPLITS:
            if not parts[split]["entries"]:
                raise HomespunError(f"there are no {config.section} for {split}; name a file with more of them")
        write_json(
            temporary / "manifest.json",
            {"format": FORMAT_VERSION, "kind": config.section, "splits": parts, "left_out": asdict(left_out)},
        )


def maker(config: DialogueConfig) -> Callable[[Any], Any]:
    """How entries are made; conversations may be asked for of pairs."""
    if isinstance(config, ConversationsConfig) and config.source_column:
        return partial(as_pair, instruction=config.instruction)
    make, _ = KINDS[config.section]
    return make


def last_held_back(entries: Iterable[T], config: DialogueConfig) -> int:
    """Questions whose number is not above this one are for validation: as large a share as wanted, at least one."""
    numbers = np.unique(np.fromiter((seeded(one, config) for one in entries), np.uint64))
    if len(numbers) < 2:
        raise HomespunError(f"there are not two different questions among the {config.section}; name a larger file")
    return int(numbers[max(1, round(config.validation_fraction * len(numbers))) - 1])


def seeded(entry: Conversation | Preference, config: DialogueConfig) -> int:
    """A number for a question, by the seed."""
    key = config.split_seed.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(question_hash(entry), digest_size=8, key=key).digest(), "little")


def question_hash(entry: Conversation | Preference) -> bytes:
    """The same for questions that differ in case and white space alone."""
    told = json.dumps([" ".join(one.content.casefold().split()) for one in entry.question])
    return hashlib.blake2b(told.encode("utf-8"), digest_size=16).digest()


def without(entries: Iterable[T], questions: set[bytes], left_out: DialoguesLeftOut) -> Iterator[T]:
    """Those whose question is not among these."""
    for one in entries:
        if question_hash(one) in questions:
            left_out.in_validation += 1
        else:
            yield one


def divide(
    entries: Iterable[T], is_held_back: Callable[[T], bool], folder: Path, left_out: DialoguesLeftOut
) -> dict[str, dict[str, Any]]:
    """Each entry to its file."""
    counts = dict.fromkeys(SPLITS, 0)
    with (
        (folder / "train.jsonl").open("w", encoding="utf-8") as train,
        (folder / "validation.jsonl").open("w", encoding="utf-8") as validation,
    ):
        for one in once(entries, left_out):
            split = "validation" if is_held_back(one) else "train"
            counts[split] += 1
            (validation if split == "validation" else train).write(line_of(one))
    return {split: described(folder / f"{split}.jsonl", counts[split]) for split in SPLITS}


def write_split(entries: Iterable[T], folder: Path, split: str, left_out: DialoguesLeftOut) -> dict[str, Any]:
    """One file."""
    count = 0
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines:
        for one in once(entries, left_out):
            count += 1
            lines.write(line_of(one))
    return described(folder / f"{split}.jsonl", count)


def once(entries: Iterable[T], left_out: DialoguesLeftOut) -> Iterator[T]:
    """Each entry the first time that it comes."""
    seen: set[bytes] = set()
    for one in entries:
        identity = hashlib.blake2b(line_of(one).encode("utf-8"), digest_size=16).digest()
        if identity in seen:
            left_out.duplicates += 1
        else:
            seen.add(identity)
            yield one


def line_of(entry: Conversation | Preference) -> str:
    """As it stands in the file."""
    return json.dumps(entry.record(), ensure_ascii=False) + "\n"


def described(path: Path, count: int) -> dict[str, Any]:
    """For the manifest."""
    shard = {"file": path.name, "sha256": sha256_of_file(path)}
    return {"entries": count, "bytes": path.stat().st_size, "shards": [shard]}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, of a version that this program reads."""
    manifest = read_json(folder / "manifest.json")
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION or not isinstance(manifest.get("splits"), dict):
        raise DamagedFileError(
            f"{folder} holds dialogues of format {version!r}, this version reads {FORMAT_VERSION}; "
            f"delete {folder} and run the command again"
        )
    return manifest


def read_split(folder: Path, split: str) -> Iterator[Any]:
    """One split, entry by entry."""
    _, from_record = KINDS[read_manifest(folder)["kind"]]
    with (folder / f"{split}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield from_record(json.loads(line))
