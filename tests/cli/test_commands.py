"""The way in: quick, typed, layered, and with a clear line for everything that is called wrongly."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from homespun.cli.main import run
from homespun.common.configuration import flatten
from homespun.pipeline.configuration import Configuration, load_toml, write_toml

HEAVY = ("torch", "pyarrow", "numpy", "regex", "charset_normalizer")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["build", "--help"],
        ["generate", "--help"],
        ["finetune", "pairs", "--help"],
        ["config", "show"],
        ["build"],
    ],
)
def test_words_about_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from homespun.cli.main import run\n"
        f"code = run({arguments!r})\n"
        f"sys.exit(repr([name for name in {HEAVY!r} if name in sys.modules] or 'none') + str(code))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stderr.splitlines()[-1][:-1] == "'none'"


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a wrong call gets; the exit code is 2."""
    capsys.readouterr()
    assert run(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build"], "no SOURCE"),
        (["build", "python", "--model.widht", "3"], "Did you mean --model.width"),
        (["build", "python", "--model.width", "wide"], "--model.width"),
        (["build", "python", "--minutes", "-1"], "--minutes"),
        (["build", "python", "--minutes", "nan"], "--minutes"),
        (["build", "python", "--model.width", "100", "--model.heads", "3"], "model.heads"),
        (["build", "python", "--model.positions", "sinus"], "--model.positions"),
        (["build", "python", "--model.vocabulary-size", "9"], "--tokenizer.vocabulary-size"),
        (["build", "python", "--training.batch-size", "6", "--training.micro-batch-size", "4"], "micro_batch_size"),
        (["train"], "no SOURCE"),
        (["train", "--resume", "nowhere"], "nowhere"),
        (["generate", "nowhere"], "no run folder nowhere"),
        (["generate"], "RUN"),
        (["report", "nowhere"], "nowhere"),
        (["chat", "nowhere"], "nowhere"),
        (["generate", "nowhere", "--temperature", "-1"], "temperature"),
        (["buidl", "python"], "build"),
        (["corpus", "--out", "x"], "no SOURCE"),
        (["tokenizer", "train", "--out", "x"], "no SOURCE"),
    ],
)
def test_a_wrong_call_gets_one_clear_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in complaint(arguments, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "nowhere", "--prompt", "-"],
        ["generate", "nowhere", "--fill", "-"],
        ["translate", "nowhere", "--file", "-"],
    ],
)
def test_input_that_is_no_text_gets_one_clear_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), "utf-8"))
    assert "not UTF-8" in complaint(command, capsys)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 2, "not UTF-8"),
        (MemoryError(), 1, "not enough memory"),
    ],
)
def test_what_python_raises_gets_one_clear_line(
    error: Exception, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("homespun.cli.main.app", fail)
    assert run([]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[model]\nwidht = 3\n", "did you mean model.width?"),
        ("[modle]\nwidth = 3\n", "did you mean model.width?"),
        ("width = 3\n", "unknown key width"),
        ("[model\n", "not a TOML file"),
        ('[model]\nwidth = "wide"\n', "model.width"),
    ],
)
def test_a_wrong_file_gets_one_clear_line(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    assert words in complaint(["config", "show", "--config", str(file)], capsys)
    assert "cannot read" in complaint(["config", "show", "--config", str(tmp_path / "absent.toml")], capsys)


def test_layers_and_where_values_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(
        '[model]\nwidth = 64\nlayers = 3\n[training]\nbatch_size = 5\n[sampling]\nstop = ["a", "b"]\n', "utf-8"
    )
    arguments = ["config", "show", "--json", "--config", str(file), "--model.layers", "7", "--training.seed=9"]
    assert run(arguments) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["model.width"] == {"value": 64, "origin": str(file)}
    assert rows["model.layers"] == {"value": 7, "origin": "command line"}
    assert rows["training.batch_size"] == {"value": 5, "origin": str(file)}
    assert rows["training.seed"] == {"value": 9, "origin": "command line"}
    assert rows["sampling.stop"] == {"value": ["a", "b"], "origin": str(file)}
    assert rows["model.heads"]["origin"] == "default"


def test_every_key_has_words_and_every_key_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == set(flatten(Configuration()))
    assert all(len(line.split("default", 1)[1].strip()) > 10 for line in lines.values())


def test_a_written_configuration_reads_back(tmp_path: Path) -> None:
    write_toml(tmp_path / "all.toml", Configuration())
    assert load_toml(tmp_path / "all.toml") == Configuration()


def test_a_source_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.cli.build import default_folder

    monkeypatch.chdir(tmp_path)
    assert default_folder(("python",)) == Path("runs/python")
    Path("runs/python").mkdir(parents=True)
    assert default_folder(("python",)) == Path("runs/python-2")
    assert default_folder(("a/letters.txt", "b")) == Path("runs/letters")


def test_tokenizer_commands_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat; the cat sat. " * 100, "utf-8")
    out = tmp_path / "tokenizer.json"
    assert run(["tokenizer", "train", str(text), "--out", str(out), "--vocabulary-size", "280"]) == 0
    program = [sys.executable, "-m", "homespun", "tokenizer"]
    raw = "the cat на mat".encode() + b"\xff"
    encoded = subprocess.run(
        [*program, "encode", "--tokenizer", str(out)], input=raw, capture_output=True, check=True
    ).stdout
    decoded = subprocess.run(
        [*program, "decode", "--tokenizer", str(out)], input=encoded, capture_output=True, check=True
    ).stdout
    assert decoded == raw


def test_corpus_command_writes_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(f"Document {number}: " + "some words and more words. " * 20, "utf-8")
    out = tmp_path / "out"
    assert run(["corpus", str(tmp_path), "--out", str(out)]) == 0
    assert (out / "manifest.json").exists()
    assert run(["corpus", str(tmp_path), "--out", str(out)]) == 2


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    from homespun import __version__

    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["classify", "instructions", "pairs", "preferences", "texts"])
def test_the_help_of_every_finetuning_has_the_usual_options_and_its_own(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"classify": "--label-column", "instructions": "--loss", "pairs": "--instruction", "preferences": "--beta",
           "texts": "--replay-share"}  # fmt: skip
    assert run(["finetune", kind, "--help"]) == 0
    words = capsys.readouterr().out.split()
    for option in (own[kind], "--train", "--out", "--json", "--config", "--training.learning-rate"):
        assert option in words, option
    assert "BASE" in words and "--usual.out" not in words
