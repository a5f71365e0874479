"""Files to splits: streaming, every fault one line with its number, no question in both splits, the same each time."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.dialogues.forms import as_conversation
from homespun.dialogues.read import DialoguesLeftOut, read_dialogues
from homespun.dialogues.settings import ConversationsConfig, PreferencesConfig
from homespun.dialogues.storage import read_manifest, read_split, write_dialogues

CONFIG, SKIPPING = ConversationsConfig(), ConversationsConfig(malformed="skip")


def entries(count: int) -> list[dict[str, Any]]:
    return [
        {"instruction": f"What is {number} + 1?", "input": "", "output": str(number + 1)} for number in range(count)
    ]


def write(path: Path, lines: list[Any], ending: str = "") -> Path:
    """JSON lines, or a list."""
    if path.name.startswith("list"):
        path.write_text(json.dumps(lines, indent=1), "utf-8")
    else:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines) + ending, "utf-8")
    return path


@pytest.mark.parametrize("name", ["some.jsonl", "list.json", "some.ndjson"])
def test_lists_and_lines_are_the_same(name: str, tmp_path: Path) -> None:
    found = list(read_dialogues([write(tmp_path / name, entries(5))], CONFIG, as_conversation, DialoguesLeftOut()))
    assert [one.messages[1].content for one in found] == ["1", "2", "3", "4", "5"]


def test_a_compressed_file_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in entries(3)).encode()))
    assert len(list(read_dialogues([path], CONFIG, as_conversation, DialoguesLeftOut()))) == 3


def test_the_first_is_there_before_the_last_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "list.json", entries(100_000))
    reading: Iterator[Any] = read_dialogues([path], CONFIG, as_conversation, DialoguesLeftOut())
    assert next(reading).messages[0].content == "What is 0 + 1?"
    reading.close()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{broken", "line 3 is not JSON"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "line 3 has its roles in an impossible order"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "line 3 is a conversation with no answer"),
        ("7", "line 3 is no conversation"),
    ],
)
def test_a_fault_is_one_line_or_is_counted(line: str, why: str, tmp_path: Path) -> None:
    path = write(tmp_path / "some.jsonl", entries(2), line + "\n" + json.dumps(entries(1)[0]))
    with pytest.raises(DamagedFileError, match=why) as told:
        list(read_dialogues([path], CONFIG, as_conversation, DialoguesLeftOut()))
    assert "--conversations.malformed skip" in str(told.value)
    left_out = DialoguesLeftOut()
    assert len(list(read_dialogues([path], SKIPPING, as_conversation, left_out))) == 3
    assert left_out == DialoguesLeftOut(malformed=1)


def test_what_is_no_file_or_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        list(read_dialogues([tmp_path / "absent.json"], CONFIG, as_conversation, DialoguesLeftOut()))
    (tmp_path / "some.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 50)[:-9])
    with pytest.raises(DamagedFileError):
        list(read_dialogues([tmp_path / "some.jsonl.gz"], CONFIG, as_conversation, DialoguesLeftOut()))


def test_no_question_is_in_both_splits_and_nothing_is_told_twice(tmp_path: Path) -> None:
    once = entries(40)
    other = [one | {"instruction": one["instruction"].upper(), "output": "again"} for one in once[:20]]
    empty = [{"instruction": "a", "output": ""}]
    path = write(tmp_path / "some.jsonl", [*once, *once[:7], *other, *empty])
    write_dialogues([path], CONFIG, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    train, validation = (list(read_split(tmp_path / "out", split)) for split in ("train", "validation"))
    questions = [{" ".join(one.messages[0].content.lower().split()) for one in split} for split in (train, validation)]
    assert not questions[0] & questions[1] and len(questions[1]) == 4 and len(questions[0]) == 36
    assert len(train) + len(validation) == 60
    assert manifest["left_out"] == {"malformed": 0, "empty": 1, "alike": 0, "duplicates": 7, "in_validation": 0}
    assert manifest["splits"]["train"]["entries"] == len(train)
    write_dialogues([path], CONFIG, tmp_path / "again")
    assert read_manifest(tmp_path / "again") == manifest
    write_dialogues([path], ConversationsConfig(split_seed=2), tmp_path / "other")
    assert read_manifest(tmp_path / "other") != manifest


def test_a_file_of_its_own_is_the_validation_and_its_questions_leave_training(tmp_path: Path) -> None:
    held_back = write(tmp_path / "held-back.jsonl", entries(3))
    path = write(tmp_path / "some.jsonl", [one | {"output": "x"} for one in entries(10)])
    config = ConversationsConfig(validation_file=str(held_back))
    write_dialogues([path], config, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert [manifest["splits"][split]["entries"] for split in ("train", "validation")] == [7, 3]
    assert manifest["left_out"]["in_validation"] == 3


def test_too_little_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match="two different questions"):
        write_dialogues([write(tmp_path / "some.jsonl", entries(1) * 3)], CONFIG, tmp_path / "out")
    held_back = str(write(tmp_path / "other.jsonl", entries(1)))
    empty = write(tmp_path / "empty.jsonl", [])
    for paths in ([empty], [write(tmp_path / "many.jsonl", entries(5)), empty]):
        with pytest.raises(DamagedFileError, match=r"empty\.jsonl is empty; name a file with conversations"):
            write_dialogues(paths, CONFIG, tmp_path / "out")
    with pytest.raises(DamagedFileError, match=r"empty\.jsonl is empty; name a file with preferences"):
        write_dialogues([empty], PreferencesConfig(validation_file=str(empty)), tmp_path / "out")
    with pytest.raises(HomespunError, match="no conversations for train"):
        same = write(tmp_path / "some.jsonl", entries(1))
        write_dialogues([same], ConversationsConfig(validation_file=held_back), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"validation_fraction": 0.0}, {"validation_fraction": float("nan")}, {"epochs": 0.0}, {"split_seed": -1},
        {"malformed": "some"}, {"loss": "none"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="conversations"):
        ConversationsConfig(**wrong)
