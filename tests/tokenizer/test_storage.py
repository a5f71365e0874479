"""The file: what is saved is loaded, and everything that is wrong with a file is one line that names it."""

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.tokenizer.storage import UNSEALED, contents, digest, seal
from homespun.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def saved(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    tokenizer.with_chat_template("{{ ওহে }}").save(path)
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """Change the contents and make the checksum fit again."""
    value = json.loads(path.read_text("utf-8")) | changes | {"sha256": UNSEALED}
    path.write_text(seal(json.dumps(value)), "utf-8")


def test_what_is_saved_is_loaded(tokenizer: Tokenizer, saved: Path, mixed_text: str) -> None:
    loaded = Tokenizer.load(saved)
    assert loaded.merges == tokenizer.merges
    assert loaded.special_tokens == tokenizer.special_tokens
    assert loaded.chat_template == "{{ ওহে }}"
    assert loaded.identity() == tokenizer.identity()
    assert loaded.encode(mixed_text) == tokenizer.encode(mixed_text)


def test_the_file_is_readable_and_the_same_every_time(tokenizer: Tokenizer, saved: Path, tmp_path: Path) -> None:
    value = json.loads(saved.read_text("utf-8"))
    assert value["format"] == "homespun-tokenizer"
    assert value["version"] == 2
    assert value["pattern"] == "homespun"
    assert value["merges"] == [list(pair) for pair in tokenizer.merges]
    assert saved.read_text("utf-8").count("\n") > len(tokenizer.merges)
    Tokenizer.load(saved).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == saved.read_bytes()


def test_files_of_the_first_version_are_read(tokenizer: Tokenizer, saved: Path) -> None:
    value = contents(tokenizer.vocabulary)
    assert value["version"] == 1
    saved.write_text(json.dumps(value | {"sha256": digest(value)}), "utf-8")
    assert Tokenizer.load(saved).identity() == tokenizer.identity()
    saved.write_text(json.dumps(value | {"sha256": digest(value), "merges": []}), "utf-8")
    with pytest.raises(DamagedFileError, match="do not match their sha256"):
        Tokenizer.load(saved)


def test_doubled_merges_are_refused_at_the_latest_when_their_bytes_are_needed(saved: Path) -> None:
    rewrite(saved, merges=[[97, 98], [97, 98]], special_tokens={"<|endoftext|>": 258})
    with pytest.raises(HomespunError, match="which an earlier merge does already"):
        Tokenizer.load(saved).decode([97])
    rewrite(saved, merges=[[97, 98], [98, 99], [256, 99], [97, 257]], special_tokens={"<|endoftext|>": 260})
    with pytest.raises(HomespunError, match="merge number 3 joins 97 and 257, which gives the same bytes as merge num"):
        Tokenizer.load(saved).decode([97])


def test_a_tokenizer_without_merges_is_saved_too(tmp_path: Path) -> None:
    Tokenizer("gpt2", [], ["<|endoftext|>"], "\ud800").save(tmp_path / "bytes.json")
    loaded = Tokenizer.load(tmp_path / "bytes.json")
    assert (loaded.pattern, loaded.merges, loaded.chat_template) == ("gpt2", (), "\ud800")


@pytest.mark.parametrize("place", range(10))
def test_a_changed_byte_or_a_lost_end_is_noticed(saved: Path, place: int) -> None:
    raw = saved.read_bytes()
    middle = len(raw) * place // 10 + 7
    for damaged in (raw[:middle], raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]):
        saved.write_bytes(damaged)
        if place and json_or_none(damaged) == json.loads(raw):
            continue  # the flipped bit was in white space
        with pytest.raises(DamagedFileError) as caught:
            Tokenizer.load(saved)
        assert str(saved) in str(caught.value)
        assert "\n" not in str(caught.value)


def json_or_none(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, r"made by another version of homespun \(format 3, this one reads 2\)"),
        ({"version": None}, "made by another version"),
        ({"format": "tokenizer"}, "not a homespun tokenizer"),
        ({"pattern": "gpt5"}, "unknown split pattern 'gpt5'"),
        ({"pattern": ["gpt2"]}, "unknown split pattern"),
        ({"expression": ".*"}, "train the tokenizer again"),
        ({"merges": None}, r"damaged \(merges is not what it should be\)"),
        ({"merges": [[97, 98, 99]]}, "merges is not"),
        ({"merges": [[97, 98.0]]}, "merges is not"),
        ({"merges": [[97, True]]}, "merges is not"),
        ({"merges": ["ab"]}, "merges is not"),
        ({"merges": [[97, 300]]}, "merge number 0 joins 97 and 300"),
        ({"special_tokens": []}, "special_tokens is not"),
        ({"special_tokens": {"<|endoftext|>": "1"}}, "special_tokens is not"),
        ({"special_tokens": {"<|endoftext|>": 7}}, "every token needs its own"),
        ({"special_tokens": {}}, r"lack <\|endoftext\|>"),
        ({"chat_template": 5}, "chat_template is not"),
    ],
)
def test_contradictory_files_are_refused(saved: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(DamagedFileError, match=message) as caught:
        Tokenizer.load(saved)
    assert str(caught.value).startswith(str(saved))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "5", '"text"', "{}", "[" * 100_000, '{"format": ' + "9" * 5000 + "}"]
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, "utf-8")
    with pytest.raises(DamagedFileError, match=r"other\.json"):
        Tokenizer.load(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match=r"cannot read .*none\.json: no such file"):
        Tokenizer.load(tmp_path / "none.json")
