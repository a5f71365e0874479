"""Three splits of labelled texts: no text in two of them, every class in each, whatever the order of the rows."""

import json
import random
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import DamagedFileError, UsageError
from homespun.labelled.read import Row
from homespun.labelled.settings import LabelledConfig
from homespun.labelled.split import (
    SPLITS,
    Divided,
    RowsLeftOut,
    check_labels,
    cut_off,
    divide,
    in_order,
    key_of,
    undersampled,
    without_duplicates,
)
from homespun.labelled.storage import read_split, verify_labelled, write_labelled

WORDS = st.text(alphabet="aAbB \n", max_size=5)


def write(path: Path, rows: list[tuple[str, str]], **more: str) -> Path:
    path.write_text("".join(json.dumps({"text": text, "label": label} | more) + "\n" for text, label in rows), "utf-8")
    return path


def some_rows(count: int = 100, rare: int = 10) -> list[tuple[str, str]]:
    return [(f"text number {number}", "rare" if number < rare else "common") for number in range(count)]


def texts(divided: Divided) -> dict[str, list[str]]:
    return {split: [row.text for row in rows] for split, rows in divided.splits.items()}


def test_it_is_stratified_and_does_not_depend_on_the_order(tmp_path: Path) -> None:
    rows = some_rows()
    divided = divide([write(tmp_path / "a.jsonl", rows)], LabelledConfig())
    counts = {split: Counter(row.label for row in found) for split, found in divided.splits.items()}
    assert counts == {
        "train": {"common": 63, "rare": 7}, "validation": {"common": 9, "rare": 1}, "test": {"common": 18, "rare": 2}
    }  # fmt: skip
    random.Random(1).shuffle(rows)
    assert texts(divide([write(tmp_path / "b.jsonl", rows)], LabelledConfig())) == texts(divided)
    halves = [write(tmp_path / f"{half}.jsonl", rows[half::2]) for half in (0, 1)]
    assert texts(divide(halves, LabelledConfig())) == texts(divided)
    other = divide(halves, LabelledConfig(split_seed=2))
    assert texts(other) != texts(divided) and other.labels == ("common", "rare")


@given(
    splits=st.fixed_dictionaries(
        {split: st.lists(st.tuples(WORDS, st.sampled_from("xy")), max_size=8) for split in SPLITS}
    )
)
@settings(max_examples=200, deadline=None)
def test_a_text_is_in_one_split_only_and_everything_is_accounted_for(splits: dict[str, list[tuple[str, str]]]) -> None:
    left_out = RowsLeftOut()
    given_rows = {split: [Row(*row, "", "") for row in rows] for split, rows in splits.items()}
    kept = without_duplicates(given_rows, left_out)
    keys = [key_of(row.text) for rows in kept.values() for row in rows]
    assert len(keys) == len(set(keys)) and all(keys)
    assert sum(map(len, splits.values())) == len(keys) + sum(asdict(left_out).values())
    assert all(set(kept[split]) <= set(given_rows[split]) for split in SPLITS)
    # What a test has, it keeps.
    assert {key_of(text) for text, _ in splits["test"]} - {""} == {key_of(row.text) for row in kept["test"]}


@given(counts=st.lists(st.integers(3, 40), min_size=2, max_size=4), fractions=st.tuples(*[st.floats(0.01, 0.5)] * 2))
@settings(max_examples=100, deadline=None)
def test_every_class_is_in_every_split(counts: list[int], fractions: tuple[float, float]) -> None:
    rows = [Row(f"{label} {place}", str(label), "", "") for label, size in enumerate(counts) for place in range(size)]
    config = LabelledConfig(validation_fraction=fractions[0], test_fraction=fractions[1])
    found = cut_off({"train": rows, "validation": [], "test": []}, ["test", "validation"], config)
    assert sorted(row for part in found.values() for row in part) == sorted(rows)
    for part in found.values():
        assert len({row.label for row in part}) == len(counts)


def test_undersampled_all_classes_are_as_large_as_the_rarest() -> None:
    rows = [Row(text, label, "", "") for text, label in some_rows()]
    left_out = RowsLeftOut()
    kept = undersampled(rows, 1, left_out)
    assert Counter(row.label for row in kept) == {"rare": 10, "common": 10} and left_out.surplus == 80
    # Who is kept says nothing of who goes to the test.
    found = cut_off({"train": kept, "validation": [], "test": []}, ["test", "validation"], LabelledConfig())
    assert {split: len(part) for split, part in found.items()} == {"train": 14, "validation": 2, "test": 4}


def test_files_of_their_own_stay_as_they_are_and_training_gives_way(tmp_path: Path) -> None:
    rows = some_rows(30)
    train = write(tmp_path / "train.jsonl", [*rows, ("Text  NUMBER 100", "common"), ("text number 0", "common")])
    test = write(tmp_path / "test.jsonl", [("text number 100", "rare"), ("", "rare"), ("text number 101", "common")])
    divided = divide([train], LabelledConfig(test_file=str(test)))
    assert [row.text for row in divided.splits["test"]] == ["text number 100", "text number 101"]
    assert divided.left_out == RowsLeftOut(empty=1, duplicates=1, contradictory=2)
    assert len(divided.splits["train"]) + len(divided.splits["validation"]) == 29


def test_a_column_says_the_split(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{split}.jsonl", [(f"{split} {number}", "xy"[number % 2]) for number in range(4)], part=split)
        for split in ("Train", "dev", "TEST")
    ]
    divided = divide(files, LabelledConfig(split_column="part"))
    assert {split: len(rows) for split, rows in divided.splits.items()} == dict.fromkeys(SPLITS, 4)
    bad = write(tmp_path / "bad.jsonl", [("x", "x")], part="tset")
    with pytest.raises(UsageError, match=r"bad\.jsonl, line 1: 'tset' is no split"):
        divide([*files, bad], LabelledConfig(split_column="part"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "x"), ("b", "x"), ("c", "x")], "all 3 texts to train on have the label 'x'"),
        ([*some_rows(), ("alone", "single")], "of 'single' there is only 1 of the 3 texts"),
        ([(f"t{number}", str(number)) for number in range(9)], "'0', '1', '2' and 6 more there is only 1"),
        ([(" ", "x"), ("", "y")], "no text to train on"),
        ([("a", "x"), ("A ", "y"), ("a", "x")], "no text to train on"),
    ],
)
def test_what_cannot_be_split_is_one_line(rows: list[tuple[str, str]], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        divide([write(tmp_path / "a.jsonl", rows)], LabelledConfig())
    assert said in str(error.value) and "\n" not in str(error.value)


def test_labels_that_training_lacks_are_named() -> None:
    rows = [Row(text, label, "", "") for text, label in some_rows()]
    splits = {"train": rows, "validation": rows[:1], "test": [Row("new", "unheard", "", "")]}
    with pytest.raises(UsageError, match="the test split has labels that training lacks: 'unheard'"):
        check_labels(splits, ("common", "rare"), [])


def test_labels_are_in_the_order_of_people() -> None:
    assert in_order({"10", "9", "-1"}) == ("-1", "9", "10")
    assert in_order({"10", "9", "a"}) == ("10", "9", "a")


def test_a_folder_gives_back_what_was_written_and_tells_damage(tmp_path: Path) -> None:
    divided = divide([write(tmp_path / "a.jsonl", [*some_rows(), ("half \ud83d", "rare")])], LabelledConfig())
    folder = tmp_path / "labelled"
    write_labelled(divided, folder)
    verify_labelled(folder)
    for split, rows in divided.splits.items():
        found = read_split(folder, split)
        assert [divided.labels[number] for number in found.classes] == [row.label for row in rows]
        assert [text.replace("?", "\ud83d") for text in found.texts] == [row.text for row in rows]
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["left_out"] == asdict(divided.left_out) and manifest["labels"] == ["common", "rare"]
    assert [manifest["splits"][split]["of_class"] for split in SPLITS] == [[63, 8], [9, 1], [18, 2]]
    raw = bytearray((folder / "test.parquet").read_bytes())
    raw[9] ^= 1
    (folder / "test.parquet").write_bytes(raw)
    with pytest.raises(DamagedFileError, match=r"test\.parquet is damaged"):
        verify_labelled(folder)
    manifest["format"] = 99
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedFileError, match="of format 99"):
        verify_labelled(folder)


def test_a_file_of_its_own_without_rows_is_named(tmp_path: Path) -> None:
    table, empty = write(tmp_path / "a.jsonl", some_rows()), write(tmp_path / "empty.jsonl", [])
    with pytest.raises(UsageError, match=r"empty\.jsonl has no rows"):
        divide([table], replace(LabelledConfig(), validation_file=str(empty)))
