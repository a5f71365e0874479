"""Pairs of texts from the columns of tables: of any kind of table, with one target or several, every fault one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.common.errors import DamagedFileError, UsageError
from homespun.dialogues.read import DialoguesLeftOut, read_dialogues
from homespun.dialogues.settings import ConversationsConfig, PairsConfig
from homespun.dialogues.storage import maker

SIDES = {"source_column": "long", "target_columns": ("short", "shorter")}


def told(path: Path, config: Any, left_out: DialoguesLeftOut | None = None) -> list[tuple[str, ...]]:
    found = read_dialogues([path], config, maker(config), left_out or DialoguesLeftOut())
    return [tuple(message.content for message in one.messages) for one in found]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'long,short,shorter\n"a, b",c,d\n'),
        ("a.tsv", "short\tlong\tshorter\nc\ta, b\td\n"),
        ("a.json", json.dumps([{"long": "a, b", "short": "c", "shorter": "d", "more": [1]}])),
        ("a.jsonl", json.dumps({"long": " a, b", "short": ["c"], "shorter": "d\r\n"}) + "\n"),
    ],
)
def test_every_target_of_a_row_is_a_pair(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    assert told(tmp_path / name, PairsConfig(**SIDES)) == [("a, b", "c"), ("a, b", "d")]
    asked = ConversationsConfig(**SIDES, instruction=" Say it. ")
    assert told(tmp_path / name, asked) == [("Say it.\n\na, b", "c"), ("Say it.\n\na, b", "d")]


def test_columns_by_number_and_sides_that_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\nc,\n ,d\ne,f\n", "utf-8")
    left_out = DialoguesLeftOut()
    assert told(tmp_path / "a.csv", PairsConfig(source_column="1", target_columns=("2",)), left_out) == [
        ("a", "b"),
        ("e", "f"),
    ]
    assert left_out == DialoguesLeftOut(empty=2)


def test_a_fault_has_its_line_or_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("source,target\na,b\nc\nd,e\n", "utf-8")
    with pytest.raises(DamagedFileError, match=r"line 3 has 1 fields.* --pairs\.malformed skip"):
        told(tmp_path / "a.csv", PairsConfig())
    left_out = DialoguesLeftOut()
    assert len(told(tmp_path / "a.csv", PairsConfig(malformed="skip"), left_out)) == 2 and left_out.malformed == 1
    with pytest.raises(UsageError, match="has no column 'targets'; it has 'source', 'target'"):
        told(tmp_path / "a.csv", PairsConfig(target_columns=("targets",)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"source_column": "a"}, {"target_columns": ("a",)}, {"source_column": "a", "target_columns": ("a",)},
        {"source_column": "a", "target_columns": ("b", "b")}, {"source_column": "a", "target_columns": ("",)},
        {"instruction": "Say"},
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ConversationsConfig(**wrong)
