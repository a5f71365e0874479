"""Task files, files of examples and prompts: what is read, and one clear line for what cannot be."""

import gzip
import json
import os
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from homespun.common.errors import UsageError
from homespun.evaluation.kind import Material, texts_of_files
from homespun.evaluation.kinds import KINDS
from homespun.evaluation.kinds.canaries import rivals
from homespun.evaluation.passages import cut_in_two, passages
from homespun.evaluation.questions import which
from homespun.evaluation.rows import Row, read_rows
from homespun.evaluation.run_task import kind_of
from homespun.evaluation.shots import draw_shots
from homespun.evaluation.task import KEYS, about, load_task, names_brought_along
from homespun.evaluation.template import fill

ROWS = [{"text": 'a, "b"', "label": "1"}, {"text": "über\tx", "label": "0"}]


def no_texts(split: str) -> object:
    raise UsageError("this run has no text")


def material(task: str | Path, **more: object) -> Material:
    return Material(load_task(str(task)), no_texts, **more)  # type: ignore[arg-type]


def prepare(path: Path, **more: object) -> object:
    made = material(path, **more)
    return kind_of(made.task).prepare(made)


def write_task(folder: Path, rows: list[dict[str, object]], **keys: object) -> Path:
    """A task file and its data."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    keys = {"data": "rows.jsonl"} | keys
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    (folder / "task.toml").write_text("[task]\n" + "\n".join(lines) + "\n", "utf-8")
    return folder / "task.toml"


@pytest.mark.parametrize("name", names_brought_along())
def test_tasks_brought_along_are_whole(name: str) -> None:
    task = load_task(name)
    assert task.about == about(name) and task.about.endswith((".", "?"))
    if "--data" in task.about:
        with pytest.raises(UsageError, match=r"needs task\.data; name a file with --data"):
            kind_of(task)
    else:
        kind_of(task)
        if task.data and KINDS[task.kind].shows_examples:
            assert prepare(Path(name))
            assert prepare(Path(name), shots=3, limit=5, seed=2)


def test_every_key_is_known_to_some_kind() -> None:
    used = {key for kind in KINDS.values() for key in (*kind.needs, *kind.takes)}
    assert used | {"kind", "about"} == set(KEYS)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz"])
def test_rows_of_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    if ending == "jsonl":
        path.write_text(lines + "\n", "utf-8")
    elif ending == "jsonl.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif ending == "json":
        path.write_text(json.dumps(ROWS, indent=2), "utf-8")
    elif ending == "csv":
        path.write_text('"text",label\n"a, ""b""",1\nüber\tx,0\n', "utf-8")
    elif ending == "tsv":
        path.write_text('text\tlabel\n"a, ""b"""\t1\nüber x\t0\n', "utf-8")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    found = read_rows(path)
    assert [row.number for row in found] == [0, 1] and found[0].where.startswith(path.name)
    expected = [ROWS[0], {"text": "über x", "label": "0"}] if ending == "tsv" else ROWS
    assert [row.values for row in found] == expected


def test_lines_of_plain_text_are_rows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\r\n", "utf-8")
    assert [(row.values, row.where) for row in read_rows(tmp_path / "a.txt")] == [
        ({"text": "one"}, "a.txt, line 1"),
        ({"text": "two"}, "a.txt, line 3"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n', "a.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "a.jsonl, line 2: not an object"),
        ("a.jsonl", b'{"a": "b"}\n{"a": ["\\ud800"]}\n', "a.jsonl, line 2: holds half of a surrogate pair"),
        ("a.jsonl", b"\n\n", "has no examples"),
        ("a.jsonl", b"", "has no examples"),
        ("a.json", b'[{"a": 1}, {"b"', "a.json, line 1: not JSON"),
        ("a.csv", b"a,b\n1,2\n3\n", "line 3: 1 fields, where the first line names 2"),
        ("a.csv", b"", "has no examples"),
        ("a.parquet", b"PAR1 but not really", "no Parquet table"),
        ("a.jsonl.gz", b"\x1f\x8b\x08broken", "a.jsonl.gz"),
        ("a.txt", bytes(range(256)) * 9, "holds no text"),
    ],
)
def test_a_file_of_examples_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_rows(tmp_path / name)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*absent\.jsonl"):
        read_rows(tmp_path / "absent.jsonl")
    with pytest.raises(UsageError, match="is a folder"):
        read_rows(tmp_path)


CHOICE = {"kind": "choice", "prompt": "{q}", "choices": "c", "answer": "{gold}"}
GOOD = {"q": "Q", "c": ["x", "y"], "gold": 1}


@pytest.mark.parametrize(
    ("keys", "row", "words"),
    [
        (CHOICE, GOOD | {"gold": 2}, "line 1: the answer '2' is not among the choices 'x', 'y'"),
        (CHOICE, GOOD | {"gold": "z"}, "the answer 'z' is not among"),
        (CHOICE, GOOD | {"gold": True}, "the answer 'True' is not among"),
        (CHOICE, {"q": "Q", "c": ["x", "y"]}, "there is no column gold; it has q, c"),
        (CHOICE | {"prompt": "{Q}"}, GOOD, "there is no column Q"),
        (CHOICE | {"choices": "cc"}, GOOD, "there is no column cc; did you mean c?"),
        (CHOICE, GOOD | {"c": "x"}, "the column c holds 'x', not a list"),
        (CHOICE, GOOD | {"c": ["x"]}, "at least two choices"),
        (CHOICE, GOOD | {"q": None}, "the column q holds 'None', not a text"),
        (CHOICE | {"by": "letter"}, GOOD, "needs {choices}"),
        (CHOICE | {"by": "number"}, GOOD, "choose text or letter"),
        (CHOICE | {"labels": ["a"]}, GOOD, "task.labels means nothing for a task of kind choice"),
        (CHOICE | {"prompt": "{q"}, GOOD, "has a single {"),
        (CHOICE | {"prompt": 3}, GOOD, "task.prompt is 3; give a text"),
        (CHOICE | {"kind": "chioce"}, GOOD, "task.kind is 'chioce'; choose one of text, choice"),
        (CHOICE | {"promt": "x"}, GOOD, "unknown key task.promt; did you mean task.prompt?"),
        (CHOICE | {"zzz": "x"}, GOOD, "unknown key task.zzz"),
        ({"kind": "choice"}, GOOD, "needs task.prompt"),
        ({"kind": "classification", "prompt": "{q}", "labels": ["a", "a"], "answer": "a"}, GOOD, "2 to 100 different"),
        ({"kind": "pairs", "good": "{q}", "bad": "{q}"}, GOOD, "the two texts are the same"),
        ({"kind": "cloze", "prompt": "{q}"}, GOOD, "has no last word"),
        ({"kind": "cloze", "prompt": "{q}", "answer": "{gold}"}, GOOD | {"gold": ""}, "the answer is empty"),
        ({"kind": "generation", "prompt": "{q}", "answer": "{c}"}, GOOD | {"c": []}, "the answer is empty"),
        ({"kind": "generation", "prompt": "{q}", "answer": "{c}", "maximum_tokens": 0}, GOOD, "at least 1"),
        ({"kind": "canaries", "prompt": "{q}", "answer": "!?"}, GOOD, "no digit or Latin letter"),
        ({"kind": "canaries", "prompt": "{q}", "answer": "7", "candidates": 10**9}, GOOD, "at most 100,000"),
        ({"kind": "generation", "prompt": "{q}", "answer": "a", "temperature": True}, GOOD, "temperature is True"),
        ({"kind": "generation", "prompt": "{q}", "answer": "a", "temperature": "hot"}, GOOD, "give a number"),
        ({"kind": "generation", "prompt": "{q}", "answer": "a", "maximum_tokens": 1.5}, GOOD, "give a whole number"),
        ({"kind": "generation", "prompt": "{q}", "answer": "a", "stop": "x"}, GOOD, "give a list of texts"),
        ({"kind": ["cloze"], "prompt": "{q}"}, GOOD, "task.kind is ('cloze',); give a text"),
        ({"kind": "text", "limit": 3}, GOOD, "unknown key task.limit"),
    ],
)
def test_a_task_that_makes_no_sense_is_one_line(
    tmp_path: Path, keys: dict[str, object], row: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError) as error:
        prepare(write_task(tmp_path, [row], **keys))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("agreemint", "unknown task agreemint; did you mean agreement?"),
        ("zzzz", "unknown task zzzz; there are addition, "),
        ("../tasks/copy", "unknown task"),
        ("rows.csv", "does not say what to ask"),
        ("absent.toml", "cannot read the configuration"),
        ("broken.toml", "is not a TOML file"),
    ],
)
def test_a_task_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("a,b\n")
    Path("broken.toml").write_text("[task\n")
    with pytest.raises(UsageError, match=words):
        load_task(name)


def test_a_text_file_is_the_task_of_predicting_it(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("Once upon a time")
    task = load_task(str(tmp_path / "book.txt"))
    assert task.kind == "text" and task.name == "book"
    kind_of(task)
    assert list(material(tmp_path / "book.txt").texts()()) == ["Once upon a time"]
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UsageError, match="has no text in it"):
        list(texts_of_files(str(tmp_path / "empty.txt")))
    with pytest.raises(UsageError, match="--limit means nothing"):
        prepare(tmp_path / "book.txt", limit=3)


@pytest.mark.parametrize(("answer", "place"), [("y", 1), (0, 0), ("0", 0), ("B", 1), ("1", 1), (2, 2), ("C", 2)])
def test_the_right_choice_by_text_number_or_letter(answer: object, place: int) -> None:
    assert which(answer, ("x", "y", "z"), Row({}, "here", 0)) == place


def test_a_text_among_the_choices_wins_over_a_number() -> None:
    row = Row({}, "here", 0)
    assert which("1", ("1", "0"), row) == 0 and which(1, ("1", "0"), row) == 1


def test_choices_by_letter_stand_in_the_prompt(tmp_path: Path) -> None:
    keys = CHOICE | {"by": "letter", "prompt": "{q}\n{choices}\nAnswer:"}
    _, (question,) = prepare(write_task(tmp_path, [GOOD], **keys))  # type: ignore[misc]
    assert question.prompt == "Q\nA. x\nB. y\nAnswer:"
    assert question.choices == ("A", "B") and question.right == 1


@given(value=st.text(max_size=10))
def test_templates_are_filled_with_texts_as_they_are(value: str) -> None:
    row = Row({"a": value, "n": 3}, "here", 0)
    assert fill("{{{a}}} {n}", row) == "{" + value + "} 3"
    with pytest.raises(UsageError, match=r"no column a\.__class__"):
        fill("{a.__class__}", row)


def test_shots_are_the_same_for_all_and_never_the_one_that_is_asked() -> None:
    rows = [Row({"q": str(number % 5)}, "", number) for number in range(20)]
    solve = lambda row: (row.values["q"], row.values["q"] + "!")  # noqa: E731
    shots = draw_shots(rows, solve, 3, "\n", seed=1)
    prompts = {prompt: shots.before(prompt) for prompt in "01234x"}
    for prompt, whole in prompts.items():
        *shown, last = whole.split("\n")
        assert last == prompt and len(set(shown)) == 3 and f"{prompt}!" not in shown
    assert len({whole.rpartition("\n")[0] for whole in prompts.values()}) <= 4
    assert draw_shots(rows, solve, 3, "\n", seed=1) == shots
    with pytest.raises(UsageError, match="only 5 different examples"):
        draw_shots(rows, solve, 5, "\n", seed=1)
    assert draw_shots([], solve, 0, "\n", seed=1).before("x") == "x"


def test_a_limit_draws_examples_and_keeps_their_order(tmp_path: Path) -> None:
    path = write_task(tmp_path, [{"q": str(n)} for n in range(50)], kind="cloze", prompt="{q} a")
    chosen = [row.number for row in material(path, limit=10, seed=3).rows()]
    assert len(chosen) == 10 and chosen == sorted(set(chosen)) and chosen != list(range(10))
    assert [row.number for row in material(path, limit=10, seed=3).rows()] == chosen
    assert len(material(path, limit=50).rows()) == len(material(path, limit=99).rows()) == 50


def test_shots_may_come_from_another_file(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"q": "one", "a": "1"}\n{"q": "two", "a": "2"}\n')
    path = write_task(
        tmp_path, [{"q": "ten", "a": "10"}], kind="cloze", prompt="{q}", answer="{a}", shots_from="train.jsonl"
    )
    (gap,) = prepare(path, shots=1)  # type: ignore[misc]
    assert gap.prompt in ("one 1\n\nten", "two 2\n\nten") and gap.end == " 10"


def test_the_last_word_of_a_text(tmp_path: Path) -> None:
    path = write_task(tmp_path, [{"text": "He  said\nyes \n"}], kind="cloze", prompt="{text}")
    (gap,) = prepare(path)  # type: ignore[misc]
    assert (gap.prompt, gap.end) == ("He  said", "\nyes")


@given(texts=st.lists(st.text("abc ", max_size=20), max_size=5), count=st.integers(1, 9), length=st.integers(1, 8))
def test_passages_are_pieces_of_the_texts(texts: list[str], count: int, length: int) -> None:
    found = passages(lambda: iter(texts), count, length, seed=1)
    places = sum(max(0, len(text) - length + 1) for text in texts)
    assert len(found) == min(count, places)
    assert all(len(one) == length and any(one in text for text in texts) for one in found)


def test_every_place_is_as_likely() -> None:
    texts = ["abcd", "e", "fghijklmno"]
    drawn = [passages(lambda: iter(texts), 1, 2, seed)[0] for seed in range(1200)]
    counts = [drawn.count(place) for place in ("ab", "bc", "cd", "fg", "no")]
    assert len(set(drawn)) == 12 and all(60 < count < 145 for count in counts)


@given(text=st.text("ab \n", min_size=6, max_size=12))
def test_passages_are_cut_before_white_space(text: str) -> None:
    first, second = cut_in_two(text, 4)
    assert first + second == text and first and second
    assert second[0] in " \n" or not set(text[1:5]) & set(" \n")


def test_rivals_have_the_form_of_the_secret() -> None:
    import numpy as np

    found = rivals("Ab-12 é", 500, np.random.default_rng(1))
    assert len(set(found)) == 500 and "Ab-12 é" not in found
    for other in found:
        assert other[0].isupper() and other[1].islower() and other[2] == "-" and other[3:5].isdigit()
        assert other[5:] == " é"
    assert sorted(rivals("7", 500, np.random.default_rng(1))) == [str(n) for n in range(10) if n != 7]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("fewshot/lambada_even.jsonl.zst", 2577),
        ("fewshot/two_digit_addition.jsonl.zst", 2000),
        ("fewshot/gsm8k_test.jsonl.zst", 1319),
    ],
)
def test_real_files_are_read_to_the_last_row(name: str, rows: int) -> None:
    if "HOMESPUN_DATA" not in os.environ:
        pytest.skip(f"HOMESPUN_DATA is not set: {name}")
    assert len(read_rows(Path(os.environ["HOMESPUN_DATA"], name))) == rows


def test_the_summaries_of_dialogsum_have_three_references() -> None:
    if "HOMESPUN_DATA" not in os.environ:
        pytest.skip("HOMESPUN_DATA is not set: dialogsum/dialogsum.test.jsonl")
    task = load_task("summaries").with_data(Path(os.environ["HOMESPUN_DATA"], "dialogsum", "dialogsum.test.jsonl"))
    _, _, exercises = kind_of(task).prepare(Material(task, no_texts))  # type: ignore[arg-type]
    assert len(exercises) == 500 and {len(one.references) for one in exercises} == {3}
    assert all(one.prompt == one.source for one in exercises)
