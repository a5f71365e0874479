"""Rows -> the three splits of a classifier: no text in two of them, every class in each.

A text counts once, whatever its case and white space. What is in a test or validation split that the user gave stays
there, and goes from training. The same text with two labels teaches nothing: both go. What is left out is counted.

The splits are stratified: of every class the same share goes to each, chosen by the hash of a text and the seed, so
that the order of the rows does not matter.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from homespun.common.errors import UsageError
from homespun.labelled.left_out import LeftOut
from homespun.labelled.read import Faults, Row, read_rows
from homespun.labelled.settings import LabelledConfig

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
# What people call them, in lower case.
SPLIT_NAMES = {"train": TRAIN, "training": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
               "dev": VALIDATION, "development": VALIDATION, "test": TEST}  # fmt: skip
SPLITTING, BALANCING = b"split", b"balance"  # two orders of the same texts that know nothing of each other
MOST_NAMED = 3

Rows = dict[str, list[Row]]


@dataclass
class RowsLeftOut(LeftOut):
    """``contradictory``: with two labels. ``surplus``: for the balance of classes."""

    contradictory: int = 0
    surplus: int = 0


@dataclass(frozen=True)
class Divided:
    """The rows of each split, and all labels in order: numbers by size, words by the alphabet."""

    splits: Rows
    labels: tuple[str, ...]
    left_out: RowsLeftOut = field(default_factory=RowsLeftOut)


def divide(tables: Sequence[Path], config: LabelledConfig) -> Divided:
    """The whole way from files to splits."""
    left_out = RowsLeftOut()
    splits = without_duplicates(given_splits(tables, config, left_out), left_out)
    if config.balance == "undersample":
        splits[TRAIN] = undersampled(splits[TRAIN], config.split_seed, left_out)
    labels = in_order({row.label for row in splits[TRAIN]})
    missing = [split for split in (TEST, VALIDATION) if not splits[split]]
    check_labels(splits, labels, missing)
    splits = cut_off(splits, missing, config)
    return Divided(splits, labels, left_out)


def given_splits(tables: Iterable[Path], config: LabelledConfig, left_out: LeftOut) -> Rows:
    """Every row in the split that the user gave it; in training where he gave none."""
    splits: Rows = {split: [] for split in SPLITS}
    for row in chain.from_iterable(rows_of(path, config, left_out) for path in tables):
        splits[split_of(row)].append(row)
    for split, file in ((VALIDATION, config.validation_file), (TEST, config.test_file)):
        if file:
            splits[split] += rows_of(Path(file), config, left_out)
    return splits


def rows_of(path: Path, config: LabelledConfig, left_out: LeftOut) -> list[Row]:
    """The rows of one file; lines that are skipped are counted."""
    faults = Faults(path, config)
    rows = list(read_rows(path, config, faults))
    left_out.malformed += faults.count
    if not rows:
        lines = f"; {faults.count:,} lines that are none were skipped" if faults.count else ""
        raise UsageError(f"{path} has no rows{lines}")
    return rows


def split_of(row: Row) -> str:
    """By the word in its column."""
    if not row.split:
        return TRAIN
    if row.split.lower() not in SPLIT_NAMES:
        raise UsageError(f"{row.place}: {row.split!r} is no split; write train, validation or test")
    return SPLIT_NAMES[row.split.lower()]


def key_of(text: str) -> str:
    """The same for texts that differ in case and white space alone."""
    return " ".join(text.casefold().split())


def without_duplicates(splits: Rows, left_out: RowsLeftOut) -> Rows:
    """Every text once: in the test rather than in validation, there rather than in training."""
    seen: set[str] = set()
    kept: Rows = {}
    for split in (TEST, VALIDATION, TRAIN):
        rows = [row for row in splits[split] if key_of(row.text)]
        left_out.empty += len(splits[split]) - len(rows)
        contradictory = contradictions(rows) if split == TRAIN else set()
        kept[split] = []
        for row in rows:
            key = key_of(row.text)
            if key in seen:
                left_out.duplicates += 1
            elif key in contradictory:
                left_out.contradictory += 1
            else:
                seen.add(key)
                kept[split].append(row)
    return kept


def contradictions(rows: Iterable[Row]) -> set[str]:
    """Texts that stand there with more than one label."""
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[key_of(row.text)].add(row.label)
    return {key for key, found in labels.items() if len(found) > 1}


def by_class(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each label."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.label].append(row)
    return dict(found)


def shuffled(rows: Iterable[Row], seed: int, purpose: bytes) -> list[Row]:
    """In the order of their hashes."""
    salt = seed.to_bytes(8, "little")

    def rank(row: Row) -> bytes:
        return hashlib.blake2b(key_of(row.text).encode("utf-8", "surrogatepass"), salt=salt, person=purpose).digest()

    return sorted(rows, key=rank)


def undersampled(rows: list[Row], seed: int, left_out: RowsLeftOut) -> list[Row]:
    """As many of each class as the rarest has."""
    classes = by_class(rows)
    fewest = min(map(len, classes.values()), default=0)
    left_out.surplus += sum(len(members) - fewest for members in classes.values())
    return [row for members in classes.values() for row in shuffled(members, seed, BALANCING)[:fewest]]


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Numbers by size, words by the alphabet."""
    found = sorted(labels)
    return tuple(sorted(found, key=int)) if all(map(is_whole_number, found)) else tuple(found)


def is_whole_number(label: str) -> bool:
    """Written with ASCII digits and perhaps a sign."""
    return label.isascii() and label.removeprefix("-").isdecimal()


def check_labels(splits: Mapping[str, Sequence[Row]], labels: Sequence[str], missing: Sequence[str]) -> None:
    """Two classes at least, each large enough for the splits that are cut off it, and none that only a test knows."""
    if not splits[TRAIN]:
        raise UsageError("there is no text to train on: all rows are empty, or in the other splits")
    if len(labels) < 2:
        raise UsageError(
            f"all {len(splits[TRAIN]):,} texts to train on have the label {labels[0]!r}; a classifier needs two or more"
        )
    counts = Counter(row.label for row in splits[TRAIN])
    least = 1 + len(missing)
    if small := [label for label in labels if counts[label] < least]:
        raise UsageError(
            f"of {named(small)} there {'is' if counts[small[0]] == 1 else 'are'} only {counts[small[0]]} of the "
            f"{least} texts that {' and '.join((TRAIN, *reversed(missing)))} need: add some, or leave "
            f"{'this label' if len(small) == 1 else 'these labels'} out (or is it another label column?)"
        )
    for split in (VALIDATION, TEST):
        if unseen := in_order({row.label for row in splits[split]} - set(labels)):
            raise UsageError(f"the {split} split has labels that training lacks: {named(unseen)}")


def named(labels: Sequence[str]) -> str:
    """The first few of them."""
    more = len(labels) - MOST_NAMED
    return ", ".join(map(repr, labels[:MOST_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def cut_off(splits: Rows, missing: Sequence[str], config: LabelledConfig) -> Rows:
    """The splits that are missing, from the training split: of each class its share, at least one text."""
    fractions = {VALIDATION: config.validation_fraction, TEST: config.test_fraction}
    divided: Rows = {split: list(splits[split]) for split in SPLITS}
    divided[TRAIN] = []
    for members in by_class(splits[TRAIN]).values():
        rest = iter(shuffled(members, config.split_seed, SPLITTING))
        left = len(members)
        for place, split in enumerate(missing):
            spare = left - (len(missing) - place)  # one text for each split that comes after this one
            taken = min(spare, max(1, round(fractions[split] * len(members))))
            divided[split] += first(rest, taken)
            left -= taken
        divided[TRAIN] += rest
    return {split: shuffled(rows, config.split_seed, SPLITTING) for split, rows in divided.items()}


def first(rows: Iterator[Row], count: int) -> list[Row]:
    """The next ``count`` of them."""
    return [next(rows) for _ in range(count)]
