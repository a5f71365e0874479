"""Sources -> a folder of questions on their Python functions: ``train.jsonl``, ``validation.jsonl``, ``manifest.json``.

In: SOURCE words, as a corpus has them. Out: JSON lines of messages, in the form in which conversations are passed
around, so that ``homespun finetune instructions`` takes them like anybody's. All that is said of a function is in one
split: nobody is examined on the way back of what was told on the way there. Sources without enough functions give a
folder with no questions, and the manifest that says so.
"""

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from homespun.common.files import atomic_folder, read_json, write_json
from homespun.corpus.python_source import ReadFiles, python_modules
from homespun.dialogues.from_python import Function, Left, functions_of

FORMAT_VERSION = 1
FEWEST_FUNCTIONS = 20
HELD_BACK_SHARE, MOST_HELD_BACK = 0.1, 40  # each of these is asked in the end, which takes its time
TRAIN, VALIDATION = "train.jsonl", "validation.jsonl"


def write_questions(sources: Sequence[str], maximum_bytes: int, folder: Path) -> None:
    """The folder, whole or not at all; at most about ``maximum_bytes`` of source code are read (0: all)."""
    files, left = ReadFiles(), Left()
    with atomic_folder(folder) as temporary:
        found = list(functions_of(python_modules(sources, maximum_bytes, files), left))
        kept = found if len(found) >= FEWEST_FUNCTIONS else []
        held_back = heapq.nsmallest(wanted(len(kept)), kept, key=order)  # in no order of theirs: a mixture to look at
        hidden = {function.identity for function in held_back}
        counts = {
            "train": write_entries((one for one in kept if one.identity not in hidden), temporary / TRAIN),
            "validation": write_entries(held_back, temporary / VALIDATION),
        }
        manifest = {
            "format": FORMAT_VERSION,
            "functions": len(found),
            "questions": counts,
            "files": asdict(files),
            "left_out": asdict(left),
        }
        write_json(temporary / "manifest.json", manifest)


def wanted(functions: int) -> int:
    """How many of so many are held back."""
    return min(MOST_HELD_BACK, round(HELD_BACK_SHARE * functions))


def order(function: Function) -> bytes:
    """Another one than that of the wording, which the beginning of the identity decides."""
    return function.identity[::-1]


def write_entries(functions: Iterable[Function], path: Path) -> int:
    """A line for each conversation; how many there are."""
    count = 0
    with path.open("w", encoding="utf-8") as lines:
        for function in functions:
            for conversation in function.conversations():
                lines.write(json.dumps(conversation.record(), ensure_ascii=False) + "\n")
                count += 1
    return count


def count_questions(folder: Path) -> int:
    """How many there are to learn from; 0 where the sources gave none, or nobody has looked."""
    manifest: dict[str, Any] = read_json(folder / "manifest.json") if (folder / "manifest.json").exists() else {}
    return manifest["questions"]["train"] if manifest else 0
