"""``homespun vectors``: learned, asked, evaluated, drawn, exported; one line for what is called wrongly."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from homespun.cli.main import run
from homespun.training.word_vectors.storage import load_word_vectors

TEXT = "the king rules the land. the queen rules the land. the cat eats fish. the dog eats meat. রাজা দেশ\n"
QUICK = ["--minimum-count", "2", "--dimensions", "8", "--epochs", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    (place / "text.txt").write_text("".join(f"{TEXT}Extra {number}.\n" for number in range(30)), "utf-8")
    assert run(["vectors", "train", str(place / "text.txt"), "--out", str(place / "v"), *QUICK]) == 0
    return place


def complaint(arguments: list[str | Path], capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one line that a call gets which fails."""
    capsys.readouterr()
    assert run(list(map(str, arguments))) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line for line in lines if line.startswith("homespun: ")] == lines[-1:]
    return lines[-1]


def test_training_says_what_it_did(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "v"
    assert run(["vectors", "train", str(folder / "text.txt"), "--out", str(out), *QUICK, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    found = load_word_vectors(out)
    assert (record["vocabulary"], record["out"], record["threads"]) == (len(found.words), str(out), 1)
    assert record["text_words"] == sum(found.counts.tolist()) if found.counts is not None else False
    assert {"king", "queen", "extra", "রাজা"} <= set(found.words)
    assert "0" not in found.words
    assert [path.name for path in out.parent.iterdir()] == ["v"]
    assert load_word_vectors(folder / "v").vectors.tolist() == found.vectors.tolist()


def test_case_can_be_kept(folder: Path, tmp_path: Path) -> None:
    arguments = ["vectors", "train", str(folder / "text.txt"), "--out", str(tmp_path / "v"), *QUICK, "--keep-case"]
    assert run([*arguments, "--method", "cbow"]) == 0
    assert "Extra" in load_word_vectors(tmp_path / "v").words


def test_neighbours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", "neighbors", str(folder / "v"), "King", "রাজা", "--number", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["King:", "রাজা:"]
    assert len(lines) == 8
    assert run(["vectors", "neighbors", str(folder / "v"), "king", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["king"]) == 10
    assert answer["king"][0]["cosine"] >= answer["king"][1]["cosine"]


def test_analogies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", "analogy", str(folder / "v"), "cat", "fish", "dog"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert run(["vectors", "analogy", str(folder / "v"), "cat", "fish", "dog", "--number", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_evaluation(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    analogies, pairs = tmp_path / "a.txt", tmp_path / "p.tsv"
    analogies.write_text(": food\ncat fish dog meat\ncat fish horse hay\n: nothing\nx y z q\n")
    pairs.write_text("king\tqueen\t9\ncat\tdog\t8\nking\tfish\t1\nx\ty\t3\n")
    questions = ["--analogies", str(analogies), "--similarity", str(pairs)]
    assert run(["vectors", "evaluate", str(folder / "v"), *questions]) == 0
    said = capsys.readouterr().out
    assert "1, 1 unknown" in said and "all together" in said and "3 pairs, 1 unknown" in said
    assert run(["vectors", "evaluate", str(folder / "v"), *questions, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["section"] for row in answer["analogies"]] == ["food", "nothing", "all together"]
    assert answer["analogies"][2]["asked"] == 1 and answer["analogies"][1]["accuracy"] is None
    assert -1 <= answer["similarity"][str(pairs)]["spearman"] <= 1
    pairs.write_text("king\tqueen\t5\ncat\tdog\t5\n")  # judged alike, so that there is no order to compare
    assert run(["vectors", "evaluate", str(folder / "v"), "--similarity", str(pairs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["similarity"][str(pairs)]["spearman"] is None
    assert "nothing to evaluate" in complaint(["vectors", "evaluate", folder / "v"], capsys, 2)


def test_pictures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("all.svg", "all.html"):
        assert run(["vectors", "picture", str(folder / "v"), "--out", str(tmp_path / name)]) == 0
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
        assert "queen" in (tmp_path / name).read_text("utf-8")
    some = ["--words", "king", "--words", "রাজা"]
    assert run(["vectors", "picture", str(folder / "v"), "--out", str(tmp_path / "two.svg"), *some]) == 0
    assert (tmp_path / "two.svg").read_text("utf-8").count("<circle") == 2
    command: list[str | Path] = ["vectors", "picture", folder / "v", "--out"]
    assert "exists" in complaint([*command, tmp_path / "two.svg"], capsys, 2)
    assert ".svg or .html" in complaint([*command, tmp_path / "two.png"], capsys, 2)
    assert "at least 1" in complaint([*command, tmp_path / "x.svg", "--most", "0"], capsys, 2)
    assert "did you mean king" in complaint([*command, tmp_path / "x.svg", "--words", "kingg"], capsys, 2)


def test_export_and_import(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, back = tmp_path / "v.txt", tmp_path / "back"
    assert run(["vectors", "export", str(folder / "v"), "--out", str(text)]) == 0
    assert run(["vectors", "import", str(text), "--out", str(back)]) == 0
    assert capsys.readouterr().out.count("8 dimensions") == 2
    assert load_word_vectors(back).vectors.tolist() == load_word_vectors(folder / "v").vectors.tolist()
    assert run(["vectors", "neighbors", str(back), "king"]) == 0
    assert run(["vectors", "picture", str(back), "--out", str(tmp_path / "p.html")]) == 0
    assert "exists" in complaint(["vectors", "export", folder / "v", "--out", text], capsys, 2)
    assert "exists" in complaint(["vectors", "import", text, "--out", back], capsys, 2)
    text.write_text("no vectors\n")
    assert "line 1" in complaint(["vectors", "import", text, "--out", tmp_path / "x"], capsys, 1)


def test_what_is_called_wrongly_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vectors, text = folder / "v", folder / "text.txt"
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "signs.txt").write_text("... !!! ---\n" * 9)
    train: list[str | Path] = ["vectors", "train"]
    out: list[str | Path] = ["--out", tmp_path / "out"]
    for arguments, code, words in (
        ([*train, *out], 2, "no SOURCE"),
        ([*train, tmp_path / "absent", *out], 2, "does not exist"),
        ([*train, text, "--out", vectors], 2, "exists"),
        ([*train, text, *out, "--method", "glove"], 2, "--method"),
        ([*train, text, *out, "--window", "0"], 2, "window 0"),
        ([*train, text, *out, "--dimensions", "many"], 2, "--dimensions"),
        ([*train, text, *out, "--minimum-count", "1000"], 1, "too few words occur 1000 times"),
        ([*train, tmp_path / "empty.txt", *out], 1, "no words"),
        ([*train, tmp_path / "signs.txt", *out], 1, "no words"),
        (["vectors", "neighbors", vectors], 2, "no word"),
        (["vectors", "neighbors", vectors, "qeen"], 2, "did you mean queen"),
        (["vectors", "neighbors", vectors, "king", "--number", "0"], 2, "at least 1"),
        (["vectors", "neighbors", tmp_path, "king"], 2, "holds no word vectors"),
        (["vectors", "analogy", vectors, "cat", "fish"], 2, "THIRD"),
        (["vectors", "evaluate", vectors, "--similarity", tmp_path / "absent"], 1, "no such file"),
    ):
        assert words in complaint(arguments, capsys, code), arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.txt", "signs.txt"]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from homespun.cli.main import run\n"
        "run(['vectors', 'train', '--help'])\n"
        "sys.exit(repr([name for name in ('torch', 'numpy', 'pyarrow', 'numba') if name in sys.modules]))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stderr.strip() == "[]"


def test_training_and_asking_need_no_torch(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from homespun.cli.main import run\n"
        f"assert run(['vectors', 'train', {str(folder / 'text.txt')!r}, '--out', {str(tmp_path / 'v')!r}]) == 0\n"
        f"assert run(['vectors', 'neighbors', {str(tmp_path / 'v')!r}, 'king']) == 0\n"
        "sys.exit('torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
