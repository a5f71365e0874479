"""One file of the newest checkpoint damaged in every way: it must be named, and the checkpoint before it used."""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from homespun.training.checkpoint import list_checkpoints, newest_checkpoint
from reliability_questions.bench import Bench


def truncated(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    size = (newest / file).stat().st_size
    os.truncate(newest / file, chance.randrange(size))


def flipped(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    raw = bytearray((newest / file).read_bytes())
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    (newest / file).write_bytes(raw)


def deleted(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    (newest / file).unlink()


def from_another_checkpoint(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    (newest / file).write_bytes((before / file).read_bytes())


def from_another_file(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    other = chance.choice([path for path in sorted(newest.iterdir()) if path.name != file])
    (newest / file).write_bytes(other.read_bytes())


DAMAGES = (truncated, flipped, deleted, from_another_checkpoint, from_another_file)


def damage(bench: Bench, times: int) -> Counter[str]:
    """Every kind of damage to every file of a checkpoint in turn, and what ``newest_checkpoint`` makes of it."""
    counts: Counter[str] = Counter()
    before, newest = list_checkpoints(bench.folder / "straight" / "checkpoints")[-2:]
    files = sorted(path.name for path in newest.iterdir())
    cases = [(change, file) for change in DAMAGES for file in files if not is_the_same(change, newest, before, file)]
    for number in range(times):
        change, file = cases[number % len(cases)]
        copy = bench.folder / "damaged"
        for checkpoint in (before, newest):
            shutil.copytree(checkpoint, copy / checkpoint.name)
        change(copy / newest.name, copy / before.name, file, bench.moments)
        warnings: list[str] = []
        found = newest_checkpoint(copy, warnings.append)
        good = found == copy / before.name and file_is_named("\n".join(warnings), copy / newest.name, file)
        counts[f"{change.__name__.replace('_', ' ')}: named, and the one before used" if good else "MISSED"] += 1
        shutil.rmtree(copy)
    return counts


def is_the_same(change: Callable[..., None], newest: Path, before: Path, file: str) -> bool:
    """Files that two checkpoints share (the tokenizer) are no damage to each other."""
    return change is from_another_checkpoint and (newest / file).read_bytes() == (before / file).read_bytes()


def file_is_named(line: str, checkpoint: Path, file: str) -> bool:
    """The damaged file; a manifest that does not belong there is noticed by what it says of the others."""
    return str(checkpoint) in line if file == "manifest.json" else str(checkpoint / file) in line
