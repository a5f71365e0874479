"""Files of other programs that are cut, changed or contradictory: one clear line, or a whole vocabulary."""

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.tokenizer.formats import read_vocabulary, write_vocabulary
from homespun.tokenizer.formats.printable import CHARACTERS
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.vocabulary import make_vocabulary
from tests.tokenizer.conftest import refuses

FILES = {"gpt2": "vocab.bpe", "cl100k": "cl100k_base.tiktoken.gz", "o200k": "o200k_base.tiktoken.gz"}
TEXTS = (
    "tinyshakespeare/input.txt",
    "wikitext2/valid.txt",
    "russian/ru_alpaca_seed_tasks.jsonl",
    "the-verdict/the-verdict.txt",
)
LONGEST_TEXT = 300_000


def lines_of(tokenizer: Tokenizer, path: Path) -> list[bytes]:
    write_vocabulary(tokenizer.vocabulary, path, "tiktoken")
    return path.read_bytes().splitlines()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines.insert(3, b"YQ"), "line 4: b'YQ' is not base64"),
        (lambda lines: lines.insert(3, b"YWFhYWFhYWFh"), "line 4: b'YWFhYWFhYWFh' is not a token and its rank"),
        (lambda lines: lines.insert(3, b"YWFhYWFhYWFh x"), "is not a token and its rank"),
        (lambda lines: lines.insert(3, b"YWFhYWFhYWFh -1"), "is not a token and its rank"),
        (lambda lines: lines.insert(3, b"YWFhYWFhYWFh " + b"9" * 5000), "is not a token and its rank"),
        (lambda lines: lines.insert(3, b"Y\xff== 7"), "is not base64"),
        (lambda lines: lines.insert(3, b" 99999"), "line 4: the token is empty"),
        (lambda lines: lines.append(b"YQ== 99999"), "the token b'a' was there before"),
        (lambda lines: lines.append(b"YWFhYWFhYWFh 3"), "the rank 3 was there before"),
        (lambda lines: lines.pop(10), "the byte 0x0A is missing"),
        (lambda lines: lines.append(base64.b64encode(b"\xffq\xfe\xfd") + b" 9000"), "cannot be reproduced exactly"),
        (lambda lines: lines.append(base64.b64encode(b"\xff" * 5000) + b" 9000"), "cannot be reproduced exactly"),
        (lambda lines: lines.append(base64.b64encode(b"\xff\xfe") + b" 90000"), "ids reach from 0 to 9000"),
        (list.clear, "the byte 0x00 is missing"),
    ],
)
def test_damaged_tiktoken_files(
    tokenizer: Tokenizer, tmp_path: Path, change: Callable[[list[bytes]], Any], words: str
) -> None:
    path = tmp_path / "some.tiktoken"
    lines = lines_of(tokenizer, path)
    change(lines)
    path.write_bytes(b"\n".join(lines))
    refuses(words, read_vocabulary, path, "homespun")


def test_gaps_among_ranks_and_lines_in_any_order(tokenizer: Tokenizer, tmp_path: Path, mixed_text: str) -> None:
    path = tmp_path / "some.tiktoken"
    lines = [(line.split()[0], int(line.split()[1])) for line in lines_of(tokenizer, path)]
    path.write_bytes(b"".join(b"%s %d\r\n" % (token, 2 * rank + 5) for token, rank in reversed(lines)))
    vocabulary = read_vocabulary(path, "homespun")
    assert vocabulary.merges == tokenizer.merges
    assert vocabulary.special_tokens == {"<|endoftext|>": 2 * len(lines) + 4}
    assert Tokenizer.of(vocabulary).encode(mixed_text) == [2 * token + 5 for token in tokenizer.encode(mixed_text)]


def test_the_pattern_of_a_tiktoken_file_has_to_be_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "some.tiktoken"
    lines_of(tokenizer, path)
    for pattern, words in ((None, "give --pattern, one of homespun"), ("gtp2", "unknown split pattern 'gtp2'")):
        with pytest.raises(UsageError, match=words):
            read_vocabulary(path, pattern)
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_vocabulary(packed, "gpt2") == read_vocabulary(path, "gpt2")
    packed.write_bytes(gzip.compress(path.read_bytes())[:-30])
    refuses("its gzip", read_vocabulary, packed, "gpt2")
    packed.write_bytes(b"\x1f\x8b" + b"?" * 100)
    refuses("its gzip", read_vocabulary, packed, "gpt2")


@pytest.mark.parametrize(
    ("merges", "table", "words"),
    [
        ("#version: 0.2\na b\nab c d\n", None, "line 3: 'ab c d' is not two tokens"),
        ("#version: 0.2\na b\n\nc d\n", None, "line 3: '' is not two tokens"),
        ("#version: 0.2\na b\nabc d\n", None, "merge 2 uses 'abc', which no merge before it makes"),
        ("#version: 0.2\na \x7f\n", None, "merge 1 uses .*, which no merge before it makes"),
        ("#version: 0.2\na b\na b\n", None, "the merge of 'a' and 'b' stands there twice"),
        ("#version: 0.2\na b\n", "{}", "is not a JSON object of tokens and their ids"),
        ("#version: 0.2\na b\n", "[", "not JSON"),
        ("#version: 0.2\na b\n", "[" * 100_000, "nested too deep|not JSON"),
        ("#version: 0.2\na b\n", '{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("#version: 0.2\na b\n", '{"a": 1}', "lacks the byte 0x00"),
        ("#version: 0.2\na b\n", {}, "lacks the token 'ab'"),
        ("#version: 0.2\na b\n", {"ab": 5, "<|endoftext|>": 300}, "two tokens have the same id"),
        ("#version: 0.2\na b\n", {"ab": 256, "<|endoftext|>": 256}, "has the id of another token"),
        ("#version: 0.2\na b\n", {"ab": 256, "xy": 257}, "has 'xy', which no merge makes"),
        ("#version: 0.2\na b\n", {"ab": 256}, "none of the special tokens"),
    ],
)
def test_damaged_files_of_gpt2(tmp_path: Path, merges: str, table: str | dict[str, int] | None, words: str) -> None:
    (tmp_path / "vocab.bpe").write_text(merges, "utf-8")
    if isinstance(table, dict):
        table = json.dumps({CHARACTERS[byte]: byte for byte in range(256)} | table)
    if table is not None:
        (tmp_path / "encoder.json").write_text(table, "utf-8")
    refuses(words, read_vocabulary, tmp_path / "vocab.bpe")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("vocab.bpe", b"#version: 0.2\na \xff\n", "no UTF-8 at byte 16"),
        ("some.txt", b"some words\n", "is not a tokenizer file"),
        ("some.txt", b"", "is not a tokenizer file"),
        ("some.json", b'{"a": "b"}', "is JSON, but not a tokenizer"),
        ("some.json", b'{"a": {"b": ' * 50_000, "nested too deep|not JSON"),
        ("some.json", b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
        ("some.json", b'{"model": 3, "x": {}}', "model is not a JSON object"),
        ("encoder.json", b'{"a": 1}', "vocab.bpe, which has the merges, is not beside it"),
        ("vocab.json", b'{"a": 1}', "merges.txt, which has the merges, is not beside it"),
        ("some.json", b'{"format": "homespun-tokenizer"}', "another version"),
        ("some.tiktoken", b"{}", "is JSON, but not a tokenizer"),
    ],
)
def test_what_is_no_tokenizer_file(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    refuses(words, read_vocabulary, tmp_path / name, "gpt2")


def test_paths_that_are_not_there(tmp_path: Path, tokenizer: Tokenizer) -> None:
    refuses("no such file", read_vocabulary, tmp_path / "nothing.json")
    refuses("the folder has no tokenizer.json", read_vocabulary, tmp_path)
    refuses("no such file or folder", write_vocabulary, tokenizer.vocabulary, tmp_path / "no" / "x", "tiktoken")
    refuses("unknown format 'gguf'", write_vocabulary, tokenizer.vocabulary, tmp_path / "x", "gguf")
    tokenizer.save(tmp_path / "ours.json")
    refuses("leave out the options", read_vocabulary, tmp_path / "ours.json", "gpt2")


def test_special_tokens_that_a_format_would_lose(tmp_path: Path) -> None:
    odd = make_vocabulary("gpt2", [], ["<|endoftext|>", "USER"])
    refuses("'USER' would be lost; use the format huggingface", write_vocabulary, odd, tmp_path / "x", "gpt2")
    both = make_vocabulary("gpt2", [(ord("<"), ord(">"))], ["<|endoftext|>", "<>"])
    for format_name in ("gpt2", "huggingface"):
        refuses("'<>' is a special token and also", write_vocabulary, both, tmp_path / "x", format_name)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("format_name", ["tiktoken", "gpt2", "huggingface"])
def test_a_file_cut_or_changed_anywhere_gives_a_vocabulary_or_one_line(
    tokenizer: Tokenizer, format_name: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_vocabulary(Tokenizer("o200k", tokenizer.merges[:60]).vocabulary, out, format_name)
    path = out / "encoder.json" if format_name == "gpt2" else out
    raw = path.read_bytes()
    for place in range(0, len(raw), max(1, len(raw) // 150)):
        for damaged in (raw[:place], raw[:place] + bytes([raw[place] ^ 5]) + raw[place + 1 :]):
            path.write_bytes(damaged)
            try:
                read_vocabulary(out / "vocab.bpe" if format_name == "gpt2" else out, "o200k")
            except HomespunError as error:
                assert "\n" not in str(error)


def test_a_damaged_file_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{", "utf-8")
    with pytest.raises(DamagedFileError, match="not JSON"):
        read_vocabulary(tmp_path)
