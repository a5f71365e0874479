"""``homespun tokenizer``: real processes and pipes, files of other programs, one line for bad input."""

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.main import run
from homespun.tokenizer.tokenizer import Tokenizer

PROGRAM = (sys.executable, "-m", "homespun", "tokenizer")
TEXT = "the cat sat on the mat; the cat sat at 1234567. নমস্কার мир\n"
PATIENCE = 60.0  # seconds until an answer counts as missing


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    merges = [(ord("t"), ord("h")), (256, ord("e")), (ord("a"), ord("t")), (ord(" "), 257)]
    return Tokenizer("homespun", merges)


@pytest.fixture
def file(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    return path


def call(*arguments: str | Path, given: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Run the real program on bytes."""
    finished = subprocess.run([*PROGRAM, *map(str, arguments)], input=given, capture_output=True)
    assert finished.returncode == code, finished.stderr
    assert code == 0 or (finished.stderr.startswith(b"homespun: ") and finished.stderr.count(b"\n") == 1)
    return finished


def json_lines(values: list[Any]) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def parsed(raw: bytes) -> list[Any]:
    return [json.loads(line) for line in raw.decode("utf-8").splitlines()]


def complaint(arguments: list[str | Path], capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one line that a call gets which fails."""
    capsys.readouterr()
    assert run(list(map(str, arguments))) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


# Lines of JSON.


def test_lines_of_text_to_lines_of_ids_and_back(tokenizer: Tokenizer, file: Path) -> None:
    texts = [TEXT * number for number in range(30)] + ["", "\n", "<|endoftext|>", "\x00", "👩‍👩‍👧", "\u2028"] * 400
    encoded = call(
        "encode", "--tokenizer", file, "--jsonl", given=json_lines([{"text": text} for text in texts])
    ).stdout
    assert parsed(encoded) == [{"ids": tokenizer.encode(text)} for text in texts]
    decoded = call("decode", "--tokenizer", file, "--jsonl", given=encoded).stdout
    # json.loads line by line, but not at U+2028, which is no end of a line in JSON.
    assert [json.loads(line)["text"] for line in decoded.decode("utf-8").split("\n")[:-1]] == texts


def test_more_text_than_fits_into_one_batch(tokenizer: Tokenizer, file: Path) -> None:
    texts = ["x" * 3_000_000, *(f"{number} the mat" for number in range(5_000)), "y" * 200_000, ""]
    given = json_lines([{"text": text, "more": [1]} for text in texts]).removesuffix(b"\n")
    encoded = call("encode", "--tokenizer", file, "--jsonl", given=given).stdout
    assert parsed(encoded) == [{"ids": tokenizer.encode(text)} for text in texts]
    again = file.with_name("texts.jsonl")
    again.write_bytes(given)
    assert call("encode", again, "--tokenizer", file, "--jsonl").stdout == encoded


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_program_that_waits_for_each_answer_gets_it(tokenizer: Tokenizer, file: Path, ending: bytes) -> None:
    commands = (
        [*PROGRAM, "encode", "--tokenizer", str(file), "--jsonl"],
        [*PROGRAM, "decode", "--tokenizer", str(file), "--jsonl"],
    )
    for command, question, answer in (
        (commands[0], {"text": TEXT}, {"ids": tokenizer.encode(TEXT)}),
        (commands[1], {"ids": tokenizer.encode(TEXT)}, {"text": TEXT}),
    ):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdin
            assert process.stdout
            for questions in (1, 3, 1):
                raw = json.dumps(question).encode() + ending
                # The beginning of one more line must not hold up the answers to those before it.
                process.stdin.write(raw * questions + raw[:5])
                received = b""
                while received.count(b"\n") < questions:
                    assert select.select([process.stdout], [], [], PATIENCE)[0], "no answer"
                    received += process.stdout.read(1 << 20)
                assert parsed(received) == [answer] * questions
                process.stdin.write(raw[5:])
                assert json.loads(process.stdout.readline()) == answer
            process.stdin.close()
            assert process.wait(PATIENCE) == 0
            assert process.stdout.read() == b""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"the cat", b"not JSON"),
        (b"", b"not JSON"),
        (b'{"text": "a"', b"not JSON"),
        (b"\xff", b"not JSON"),
        (b"[" * 100_000, b"nested too deep"),
        (b"9" * 10_000, b"not JSON"),
        (b"3", b'no JSON object with a "text"'),
        (b'["text"]', b'no JSON object with a "text"'),
        (b'{"txt": "a"}', b'no JSON object with a "text"'),
        (b'{"text": null}', b'no JSON object with a "text" that is a string'),
    ],
)
def test_a_bad_line_of_text_is_named_after_all_before_it_were_answered(
    tokenizer: Tokenizer, file: Path, line: bytes, words: bytes
) -> None:
    good = json_lines([{"text": TEXT}])
    finished = call("encode", "--tokenizer", file, "--jsonl", given=good * 1002 + line + b"\n" + good, code=1)
    assert parsed(finished.stdout) == [{"ids": tokenizer.encode(TEXT)}] * 1002
    assert b"standard input, line 1003: " in finished.stderr
    assert words in finished.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[1, 2]", b'no JSON object with "ids"'),
        (b'{"ids": 3}', b"not a list of whole numbers"),
        (b'{"ids": [1.0]}', b"not a list of whole numbers"),
        (b'{"ids": [true]}', b"not a list of whole numbers"),
        (b'{"ids": [[1]]}', b"not a list of whole numbers"),
        (b'{"ids": ["1"]}', b"not a list of whole numbers"),
        (b'{"ids": [-1]}', b"-1 is no token id"),
        (b'{"ids": [264]}', b"264 is no token id"),
        (b'{"ids": [99999999999999999999]}', b"99999999999999999999 is no token id"),
    ],
)
def test_a_bad_line_of_ids_is_named(file: Path, line: bytes, words: bytes) -> None:
    finished = call("decode", "--tokenizer", file, "--jsonl", given=b'{"ids": [104, 105]}\n' + line, code=1)
    assert finished.stdout == b'{"text": "hi"}\n'
    assert b"standard input, line 2: " in finished.stderr
    assert words in finished.stderr


def test_odd_but_allowed_lines(tokenizer: Tokenizer, file: Path) -> None:
    given = rb'{"text": "\ud800x"}' + b"\n" + rb'{"text": "\ud83d\ude00"}' + b"\n" + rb'{"text": "x\udfff"}'
    encoded = call("encode", "--tokenizer", file, "--jsonl", given=given).stdout
    assert parsed(encoded) == [{"ids": tokenizer.encode(text)} for text in ("\ufffdx", "😀", "x\ufffd")]
    decoded = call(
        "decode", "--tokenizer", file, "--jsonl", given=b'{"ids": [255]}\n{"ids": []}\n{"ids": [260]}'
    ).stdout
    assert parsed(decoded) == [{"text": "\ufffd"}, {"text": ""}, {"text": "<|endoftext|>"}]
    assert call("encode", "--tokenizer", file, "--jsonl").stdout == b""


def test_special_tokens_only_where_they_are_asked_for(tokenizer: Tokenizer, file: Path) -> None:
    text = "the<|endoftext|>the<|pad|>"
    ends, pads = ("--special", "<|endoftext|>"), ("--special=<|pad|>",)
    for options, allowed in (((), ()), (ends, ends[1:]), ((*ends, *pads), ("<|endoftext|>", "<|pad|>"))):
        expected = tokenizer.encode(text, allowed)
        assert json.loads(call("encode", "--tokenizer", file, *options, given=text.encode()).stdout) == expected
        given = json_lines([{"text": text}])
        assert parsed(call("encode", "--tokenizer", file, "--jsonl", *options, given=given).stdout) == [
            {"ids": expected}
        ]
    assert b"no special token is called <|x|>" in call(
        "encode", "--tokenizer", file, "--special", "<|x|>", code=2
    ).stderr.replace(b"'", b"")


# Plain text.


def test_bytes_that_are_no_utf8(tokenizer: Tokenizer, file: Path) -> None:
    raw = b"the\xff cat"
    for policy in ("keep", "replace", "ignore"):
        for options in ((), ("--special", "<|pad|>")):
            encoded = call("encode", "--tokenizer", file, "--invalid", policy, *options, given=raw).stdout
            assert json.loads(encoded) == tokenizer.encode_bytes(raw, policy)
    decoded = call("decode", "--tokenizer", file, given=call("encode", "--tokenizer", file, given=raw).stdout).stdout
    assert decoded == raw
    assert b"UTF-8" in call("encode", "--tokenizer", file, "--invalid", "error", given=raw, code=1).stderr
    assert b"--invalid" in call("encode", "--tokenizer", file, "--invalid", "maybe", given=raw, code=2).stderr


def test_files_in_place_of_standard_input(tokenizer: Tokenizer, file: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"the cat\n\xff")
    (tmp_path / "b").write_bytes(b"")
    encoded = call("encode", tmp_path / "a", tmp_path / "b", "--tokenizer", file).stdout
    assert parsed(encoded) == [tokenizer.encode_bytes(b"the cat\n\xff"), []]
    assert b"no such file" in call("encode", tmp_path / "c", "--tokenizer", file, code=1).stderr
    assert b"it is a folder" in call("encode", tmp_path, "--tokenizer", file, code=1).stderr
    assert b"cannot read" in call("encode", "--tokenizer", tmp_path / "absent.json", code=1).stderr


@pytest.mark.parametrize("given", [b"", b"{}", b"[1", b"[[1]]", b"[1.5]", b"[true]", b"\xff", b"[" * 100_000])
def test_what_is_no_list_of_ids(file: Path, given: bytes) -> None:
    assert (
        b"standard input is not a JSON list of ids" in call("decode", "--tokenizer", file, given=given, code=2).stderr
    )


# Files of other programs.


def test_import_export_import(
    tokenizer: Tokenizer, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for format_name, name, lost in (
        ("tiktoken", "our.tiktoken", "not in the file: the pattern homespun; the special tokens <|endoftext|> 260, "),
        ("gpt2", "folder", "not in the file: the pattern homespun"),
        ("huggingface", "theirs.json", ""),
    ):
        out, back = tmp_path / name, tmp_path / f"back-{format_name}.json"
        assert run(["tokenizer", "export", str(file), "--format", format_name, "--out", str(out)]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{out}: 260 tokens")
        assert said.count("\n") == 1
        assert lost in said
        assert ("not in the file" in said) == bool(lost)
        assert "exists; give another --out" in complaint(
            ["tokenizer", "export", file, "--format", format_name, "--out", out], capsys, 2
        )
        pattern = [] if format_name == "huggingface" else ["--pattern", "homespun"]
        assert run(["tokenizer", "import", str(out), "--out", str(back), *pattern]) == 0
        assert "pattern homespun, 4 merges, special tokens <|endoftext|> 260" in capsys.readouterr().out
        again = Tokenizer.load(back)
        assert again.encode(TEXT) == tokenizer.encode(TEXT)
        assert (again.identity() == tokenizer.identity()) == (format_name != "tiktoken")
        assert "exists; give another --out" in complaint(["tokenizer", "import", out, "--out", back], capsys, 2)
    assert run(["tokenizer", "export", str(file), "--format", "gpt2", "--out", str(tmp_path / "vocab.bpe")]) == 0
    assert (tmp_path / "encoder.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("x.tiktoken", b"IQ== 0\n", 2, "give --pattern"),
        ("vocab.bpe", b"#version: 0.2\nab c\n", 1, "merge 1 uses 'ab'"),
        ("x.json", b"{", 1, "not JSON"),
        ("x.txt", b"words", 1, "is not a tokenizer file"),
    ],
)
def test_imports_that_fail_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, code: int, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    arguments = ["tokenizer", "import", tmp_path / name, "--out", tmp_path / "out.json"]
    assert words in complaint(arguments, capsys, code)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert "unknown split pattern" in complaint([*arguments, "--pattern", "gtp2"], capsys, 2)


def test_an_unknown_format(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tokenizer", "export", file, "--format", "gguf", "--out", tmp_path / "x"]
    assert "--format" in complaint(arguments, capsys, 2)


# Learning, and the page.


def test_training_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("".join(f"{number}: {TEXT}" for number in range(100)), "utf-8")
    out = tmp_path / "t.json"
    arguments = ["tokenizer", "train", str(tmp_path / "text.txt"), "--out", str(out), "--vocabulary-size", "270"]
    assert run([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["merges"], report["vocabulary_size"]) == (10, 270)
    assert len(Tokenizer.load(out).merges) == 10
    assert "exists; give another --out" in complaint(list(arguments), capsys, 2)
    more, special = tmp_path / "more.json", ["--special-tokens", "<|user|>", "--special-tokens", "<|tool|>"]
    arguments[4:] = [str(more), "--vocabulary-size", "290", "--continue-from", str(out), *special]
    assert run(arguments) == 0
    first, second = Tokenizer.load(out), Tokenizer.load(more)
    assert second.merges[:10] == first.merges
    assert second.special_tokens.keys() == {*first.special_tokens, "<|user|>", "<|tool|>"}
    arguments[4] = str(tmp_path / "third.json")
    assert "cannot read" in complaint([*arguments[:-5], str(tmp_path / "absent.json")], capsys, 1)


def test_the_page_of_a_tokenizer(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("homespun.report.tokenizer_page")
    (tmp_path / "text.txt").write_text(TEXT * 100, "utf-8")
    out = tmp_path / "page.html"
    arguments = ["tokenizer", "report", file, tmp_path / "text.txt", "--out", out]
    assert run([*map(str, arguments), "--compare", str(file)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert "text.txt" in out.read_text("utf-8")
    assert "exists; give another --out" in complaint(arguments, capsys, 2)
    (tmp_path / "empty.txt").write_text("", "utf-8")
    arguments[3:] = [tmp_path / "empty.txt", "--out", tmp_path / "second.html"]
    assert "no text to measure" in complaint(arguments, capsys, 1)
    arguments[3:] = [tmp_path / "absent.txt", "--out", tmp_path / "second.html"]
    assert "absent.txt" in complaint(arguments, capsys, 2)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from homespun.cli.main import run\n"
        "run(['tokenizer', 'encode', '--help'])\n"
        "sys.exit(repr([name for name in ('torch', 'numpy', 'regex', 'pyarrow', 'numba') if name in sys.modules]))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert finished.stderr.strip() == "[]"
