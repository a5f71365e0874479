"""Records of tables: any block size gives the same, broken lines are counted, columns are found."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.records import (
    Malformed,
    NoTextColumnError,
    find_columns,
    read_json,
    read_json_lines,
    read_table,
)

STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def in_blocks(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


@given(st.lists(STRINGS), st.integers(1, 30), st.sampled_from([None, 2]), st.booleans())
def test_json_lists_and_lines_give_their_texts(texts: list[str], size: int, indent: int | None, plain: bool) -> None:
    rows = texts if plain else [{"id": 1, "text": text, "more": [{"a": "]"}]} for text in texts]
    malformed = Malformed()
    as_list = read_json(in_blocks(json.dumps(rows, indent=indent), size), malformed)
    assert [record.text for record in as_list] == texts
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert [record.text for record in read_json_lines(in_blocks(lines, size), malformed)] == texts
    assert [record.text for record in read_json(in_blocks(lines, size), malformed)] == texts
    assert malformed.count == 0


@given(st.lists(STRINGS.map(lambda t: t.replace("\0", "").replace("\r", "")), min_size=1), st.integers(1, 30))
def test_csv_gives_its_texts(texts: list[str], size: int) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "Text"), *(("7", text) for text in texts)])
    malformed = Malformed()
    records = read_table(in_blocks(buffer.getvalue(), size), ".csv", malformed)
    assert records is not None
    assert [record.text for record in records] == texts
    assert malformed.count == 0


def test_broken_lines_are_counted_with_the_first_one() -> None:
    malformed = Malformed()
    lines = (
        '{"text": "one"}\n\n{"text": \n{"text": null}\n[1]\n{"text": "two"}\n{"other": "x"}\n' + "[" * 100_000 + "\n"
    )
    assert [record.text for record in read_json_lines([lines], malformed)] == ["one", "two"]
    assert malformed == Malformed(5, 3)


def test_a_json_list_cut_off_keeps_what_was_whole() -> None:
    malformed = Malformed()
    assert [r.text for r in read_json(['[\n{"text": "one"},\n{"text": "tw'], malformed)] == ["one"]
    assert malformed == Malformed(1, 3)


def test_columns_beside_the_text() -> None:
    row = {"Title": "T", "content": "words", "URL": "http://x", "lang": "en", "score": 3}
    [record] = read_json_lines([json.dumps(row)], Malformed())
    assert (record.text, record.url, record.language, record.metadata) == ("words", "http://x", "en", {"title": "T"})


def test_text_comes_before_content() -> None:
    columns = find_columns(["body", "content", "text"])
    assert columns is not None
    assert columns.text == "text"


def test_a_table_without_text_names_its_columns() -> None:
    with pytest.raises(NoTextColumnError) as caught:
        list(read_json_lines(['{"question": "q", "answer": "a"}'], Malformed()))
    assert caught.value.columns == ("question", "answer")


@pytest.mark.parametrize(
    ("ending", "table"), [(".tsv", "the\tO\ncat\tO\n"), (".csv", "1,2\n3,4\n"), (".csv", "word\nother\n")]
)
def test_tables_without_a_text_column_are_plain_text(ending: str, table: str) -> None:
    assert read_table([table], ending, Malformed()) is None


def test_tsv_quotes_are_only_quotes() -> None:
    malformed = Malformed()
    records = read_table(['label\ttext\n1\t"never closed\n2\t"both ""ends"""\n3\n'], ".tsv", malformed)
    assert records is not None
    assert [record.text for record in records] == ['"never closed', 'both "ends"']
    assert malformed == Malformed(1, 4)


def test_semicolons() -> None:
    records = read_table(["id;text\n1;a, b\n"], ".csv", Malformed())
    assert records is not None
    assert [record.text for record in records] == ["a, b"]
