"""Tables of texts and labels: every form gives the same rows, and what is no row is one line that names it."""

import gzip
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.labelled.read import Faults, read_rows
from homespun.labelled.settings import LabelledConfig

ROWS = [('win, a "prize"\nnow', "spam"), ("see you;  soon", "ham"), ("শুভ সকাল", "ham")]
ONE_LINE = [(text.replace("\n", " "), label) for text, label in ROWS]


def quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'


def write_csv(path: Path, delimiter: str = ",") -> list[tuple[str, str]]:
    lines = [delimiter.join(map(quoted, row)) for row in [("label", "text"), *((label, text) for text, label in ROWS)]]
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", "utf-8", newline="")
    return ROWS


def write_tsv(path: Path) -> list[tuple[str, str]]:
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ONE_LINE), "utf-8")
    return ONE_LINE


def write_json_lines(path: Path) -> list[tuple[str, str]]:
    path.write_text("\n\n".join(json.dumps({"text": text, "label": label, "x": 1}) for text, label in ROWS), "utf-8")
    return ROWS


def write_json(path: Path) -> list[tuple[str, str]]:
    path.write_text(json.dumps([{"text": text, "label": label} for text, label in ROWS], indent=1), "utf-8")
    return ROWS


def write_parquet(path: Path) -> list[tuple[str, str]]:
    texts, labels = zip(*ROWS, strict=True)
    parquet.write_table(pyarrow.table({"text": list(texts), "id": [1, 2, 3], "label": list(labels)}), path)
    return ROWS


WRITERS = {
    "a.csv": write_csv, "b.csv": lambda path: write_csv(path, ";"), "c.tsv": write_tsv, "d.jsonl": write_json_lines,
    "e.json": write_json, "f.parquet": write_parquet,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("compressed", [False, True])
def test_every_form_has_the_same_rows(name: str, compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    wanted = WRITERS[name](path)
    if compressed:
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert [(row.text, row.label) for row in read_rows(path, LabelledConfig())] == wanted


@pytest.mark.parametrize("name", ["sms.tsv", "SMSCollection", "sms.csv"])
def test_columns_by_number_are_of_a_file_without_names(name: str, tmp_path: Path) -> None:
    delimiter = "," if name.endswith(".csv") else "\t"
    (tmp_path / name).write_text(f'ham{delimiter}I "know\nspam{delimiter}Buy\n', "utf-8")
    config = LabelledConfig(text_column="2", label_column="1")
    rows = list(read_rows(tmp_path / name, config))
    assert [(row.label, row.place.rpartition(" ")[2]) for row in rows] == [("ham", "1"), ("spam", "2")]


def test_a_column_without_a_name_is_no_split(tmp_path: Path) -> None:
    """Tables that other programs wrote begin with the number of the row, under no name."""
    (tmp_path / "table.csv").write_text(",text,label\n0,see you,ham\n1,win,spam\n", "utf-8")
    rows = list(read_rows(tmp_path / "table.csv", LabelledConfig()))
    assert [(row.text, row.label, row.split) for row in rows] == [("see you", "ham", ""), ("win", "spam", "")]


def test_numbers_and_truth_values_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "a", "label": label}) + "\n" for label in (1, 2.0, True, " x ")))
    assert [row.label for row in read_rows(path, LabelledConfig())] == ["1", "2", "true", "x"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"text": "a", "label": "x"}\n\n{"text": "b", \n', "a.jsonl, line 3 cannot be parsed"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n["b", "x"]\n', "line 2 is not a JSON object"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n', "line 2 has no column 'label'; it has 'text'"),
        ("a.jsonl", '{"text": 5, "label": "x"}\n', "line 1 has 5 for a text"),
        ("a.jsonl", '{"text": "a", "label": null}\n', "line 1 has no label (None)"),
        ("a.jsonl", '{"text": "a", "label": 0.5}\n', "line 1 has no label (0.5)"),
        ("a.csv", "text,label\na,x\n\nb\n", "a.csv, line 4 has 1 fields, and the first line 2"),
        ("a.csv", "text,label\na,x\nb,c,x\n", "line 3 has 3 fields"),
        ("a.csv", "text,kind\na,x\n", "has no column 'label'; it has 'text', 'kind'"),
        ("a.csv", "text,label\na,\n", "line 2 has no label ('')"),
        ("a.csv", "\n\n", "has no column 'text'"),
        ("a.parquet", "no parquet", "a.parquet is damaged"),
    ],
)
def test_what_is_no_row_is_one_line(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(HomespunError) as error:
        list(read_rows(tmp_path / name, LabelledConfig()))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_lines_that_are_no_rows_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    config = LabelledConfig(text_column="2", label_column="1", malformed="skip")
    path = tmp_path / "messages"
    path.write_text("ham\tcut in\ntwo\nspam\twhole\n\tno label\n", "utf-8")
    faults = Faults(path, config)
    assert [row.text for row in read_rows(path, config, faults)] == ["cut in", "whole"]
    assert (faults.count, faults.first_line - faults.ahead) == (2, 2)
    with pytest.raises(DamagedFileError, match="line 2 has 1 fields, and the first line 2; correct it, or skip"):
        list(read_rows(path, LabelledConfig(text_column="2", label_column="1")))


def test_other_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*absent\.csv"):
        list(read_rows(tmp_path / "absent.csv", LabelledConfig()))
    (tmp_path / "a.csv").write_bytes(b"text,label\n\0\0\0,x\n")
    with pytest.raises(DamagedFileError, match="no table of text"):
        list(read_rows(tmp_path / "a.csv", LabelledConfig()))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"text,label\na,x\n" * 999)[:-20])
    with pytest.raises(DamagedFileError, match="damaged"):
        list(read_rows(tmp_path / "a.csv.gz", LabelledConfig()))


@pytest.mark.parametrize(
    "changes",
    [
        {"test_fraction": 0.0}, {"validation_fraction": 0.6}, {"balance": "some"}, {"malformed": "mend"},
        {"split_seed": -1}, {"epochs": 0.0},
        {"label_column": "text"}, {"label_column": ""}, {"split_column": "s", "test_file": "t.csv"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_one_line(changes: dict) -> None:
    with pytest.raises(UsageError, match="labelled"):
        LabelledConfig(**changes)
