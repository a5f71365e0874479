"""A run goes on only as it began: configuration, tokens and tokenizer are compared, differences said key by key."""

import json
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.cli.main import run
from homespun.common.errors import UsageError
from homespun.pipeline.made_with import MOST_DIFFERENCES_SHOWN, check_made_with, differences
from homespun.tokenizer.tokenizer import Tokenizer
from tests.pipeline.conftest import fail, unfinished_copy

NEWEST = "checkpoints/step-00000060"
RECORD: dict[str, dict[str, Any]] = {
    "configuration": {"model.width": 32, "training.sinks": ["wandb"], "training.learning_rate": 3e-3},
    "data": {"train-00000.bin": "ab12", "validation-00000.bin": "cd34"},
    "tokenizer": {"identity": "ef56"},
}
RECORDS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2))


@settings(deadline=None, max_examples=100)
@given(then=RECORDS, now=RECORDS)
def test_every_difference_counts_and_nothing_else(then: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]
    text = differences(then, now)
    assert bool(text) == bool(changed)
    for key in changed[:MOST_DIFFERENCES_SHOWN]:
        assert f"{key}: {then.get(key, 'nothing')} -> {now.get(key, 'nothing')}" in text
    assert text.count(" -> ") == min(len(changed), MOST_DIFFERENCES_SHOWN)
    more = len(changed) - MOST_DIFFERENCES_SHOWN
    assert text.endswith(f" and {more} more") == (more > 0)


def test_what_json_makes_of_a_tuple_is_no_difference() -> None:
    assert differences({"a": ["x"], "b": []}, {"a": ("x",), "b": ()}) == ""
    assert differences({"a": ["x"]}, {"a": ("y",)}) == "a: ['x'] -> ('y',)"


def checked(tmp_path: Path, now: dict[str, Any]) -> None:
    (tmp_path / "made_with.json").write_text(json.dumps(RECORD))
    check_made_with(tmp_path, now)


def test_the_same_is_let_through(tmp_path: Path) -> None:
    checked(tmp_path, RECORD | {"configuration": RECORD["configuration"] | {"training.sinks": ("wandb",)}})


@pytest.mark.parametrize(
    ("part", "key", "value", "says"),
    [
        ("configuration", "model.width", 64, "another configuration: model.width: 32 -> 64; a run goes on only as"),
        ("configuration", "model.bias", True, "another configuration: model.bias: nothing -> True; "),
        ("data", "train-00000.bin", "ff", "another data: train-00000.bin: ab12 -> ff; the shards are no longer those"),
        ("tokenizer", "identity", "77", "another tokenizer: identity: ef56 -> 77; the tokenizer is no longer that"),
    ],
)
def test_each_part_is_compared_and_named(tmp_path: Path, part: str, key: str, value: object, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        checked(tmp_path, RECORD | {part: RECORD[part] | {key: value}})
    assert says in str(raised.value) and str(tmp_path) in str(raised.value) and "\n" not in str(raised.value)


def test_a_checkpoint_tells_what_it_was_made_with(finished_run: Path) -> None:
    record = json.loads((finished_run / NEWEST / "made_with.json").read_text())
    toml = tomllib.loads((finished_run / "config.toml").read_text())
    for section in ("model", "training"):
        found = {
            key.partition(".")[2]: value for key, value in record["configuration"].items() if key.startswith(section)
        }
        assert found == toml[section]
    for name, digest in record["data"].items():
        assert sha256((finished_run / "tokens" / name).read_bytes()).hexdigest() == digest
    assert {"train-00000.bin", "validation-00000.bin"} <= record["data"].keys()
    assert record["tokenizer"]["identity"] == Tokenizer.load(finished_run / "tokenizer.json").identity()


def test_an_edited_configuration_is_refused_key_by_key(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = unfinished_copy(finished_run, tmp_path)
    toml = tomllib.loads((copy / "config.toml").read_text())
    toml["training"]["learning_rate"], toml["model"]["width"] = 0.5, 64
    (copy / "config.toml").write_text(tomli_w.dumps(toml))
    line = fail(["train", "--resume", str(copy)], capsys, 2)
    assert "config.toml was changed after the run began: " in line
    assert "model.width: 32 -> 64, training.learning_rate: 0.003 -> 0.5;" in line
    assert "put it back, or begin a new run" in line
    toml["training"]["learning_rate"], toml["model"]["width"] = 0.003, 32
    (copy / "config.toml").write_text(tomli_w.dumps(toml))
    assert run(["train", "--resume", str(copy)]) == 0


def test_another_number_of_steps_is_refused_too(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only a timed run writes down another number than it began with."""
    copy = unfinished_copy(finished_run, tmp_path)
    text = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(text.replace("steps = 60\n", "steps = 90\n"))
    assert "training.steps: 60 -> 90" in fail(["train", "--resume", str(copy)], capsys, 2)


def test_another_plan_is_refused_by_the_checkpoint(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that the configuration is made from was changed, consistently; the checkpoint still knows."""
    copy = unfinished_copy(finished_run, tmp_path)
    record = json.loads((copy / "run.json").read_text())
    record["asked"]["training.learning_rate"] = 0.25
    (copy / "run.json").write_text(json.dumps(record))
    (copy / "config.toml").unlink()
    line = fail(["train", "--resume", str(copy)], capsys, 2)
    assert "step-00000060 was made with another configuration: training.learning_rate: 0.003 -> 0.25; " in line


def change_manifest(run_folder: Path, file: str, digest: str, tokenizer: str = "") -> None:
    """Make the tokens' manifest agree with what was put in its place."""
    path = run_folder / "tokens" / "manifest.json"
    manifest = json.loads(path.read_text())
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            if shard["file"] == file:
                shard["sha256"] = digest
    manifest["tokenizer"] = tokenizer or manifest["tokenizer"]
    path.write_text(json.dumps(manifest))


def test_replaced_tokens_are_refused(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = unfinished_copy(finished_run, tmp_path)
    shard = copy / "tokens" / "train-00000.bin"
    before, turned = shard.read_bytes(), shard.read_bytes()[::-1][1:] + b"\0"
    shard.write_bytes(turned)
    change_manifest(copy, shard.name, sha256(turned).hexdigest())
    line = fail(["train", "--resume", str(copy)], capsys, 2)
    assert "was made with another data: train-00000.bin: " in line
    assert f"{sha256(before).hexdigest()} -> {sha256(turned).hexdigest()}" in line and "put them back" in line


def test_another_tokenizer_is_refused(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = unfinished_copy(finished_run, tmp_path)
    old = Tokenizer.load(copy / "tokenizer.json")
    pairs = list(old.merges)
    pairs[-1], pairs[-2] = pairs[-2], pairs[-1]
    other = Tokenizer(old.pattern, pairs)
    other.save(copy / "tokenizer.json")
    assert other.vocabulary_size == old.vocabulary_size and other.identity() != old.identity()
    line = fail(["train", "--resume", str(copy)], capsys)
    assert "was made with another tokenizer than" in line
    change_manifest(copy, "", "", other.identity())  # and now the tokens claim to be of that one
    line = fail(["train", "--resume", str(copy)], capsys, 2)
    assert f"was made with another tokenizer: identity: {old.identity()} -> {other.identity()}; " in line
