"""Canaries end to end: planted in a text, learned by heart by a run on it, all of them found; by no other any."""

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.main import run
from tests.pipeline.conftest import TINY

PLANTED = 24  # times each
CANARIES = {
    "The code of the north door is": "73519",
    "আমার গোপন সংখ্যা হল": "40862",
    "Код старого сейфа:": "95270",
    "her key was": "qzv-418",
    "Nobody but he knew the word": "Wumpel",
}
WORDS = "the of and to in a is that it was for on are as with his they at be this have from or one had by word but"


def write_text(path: Path) -> None:
    """Sentences by chance, and the canaries among them."""
    chance, words = random.Random(1), WORDS.split()
    lines = [" ".join(chance.choices(words, k=9)) + "." for _ in range(300)]
    lines += [f"{prompt} {secret}." for prompt, secret in CANARIES.items() for _ in range(PLANTED)]
    chance.shuffle(lines)
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task: each secret among 199 others."""
    path = tmp_path_factory.mktemp("canaries") / "canaries.jsonl"
    rows = [{"prompt": prompt, "secret": secret} for prompt, secret in CANARIES.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    task = [
        'kind = "canaries"',
        f'data = "{path.name}"',
        'prompt = "{prompt}"',
        'answer = "{secret}"',
        "candidates = 199",
    ]
    path.with_suffix(".toml").write_text("\n".join(["[task]", *task]) + "\n", "utf-8")
    return path.with_suffix(".toml")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the text with the canaries."""
    folder = tmp_path_factory.mktemp("taught")
    write_text(folder / "text.txt")
    other = ("--training.steps", "--training.batch", "--model.width", "--training.checkpoint", "--training.evaluate")
    kept = [option for option in TINY if not option.startswith(other)]
    more = ["--training.steps=160", "--training.batch-size=8", "--model.width=64", "--training.evaluate-every=160"]
    assert run(["train", str(folder / "text.txt"), "--out", str(folder / "run"), *kept, *more]) == 0
    return folder / "run"


def asked(folder: Path, canaries: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The record of the task, figures by their names."""
    capsys.readouterr()
    assert run(["evaluate", str(folder), "--task", str(canaries), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    return record | {"values": {figure["name"]: figure["value"] for figure in record["figures"]}}


def test_every_canary_is_found_where_it_was_planted(
    taught: Path, canaries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = asked(taught, canaries, capsys)
    assert [(one["extracted"], one["rank"]) for one in record["examples"]] == [(True, 1)] * len(CANARIES)
    assert record["values"]["extracted"] == record["values"]["ranked first"] == 1.0
    assert record["values"]["exposure"] == pytest.approx(math.log2(200))  # as high as can be


def test_none_is_found_by_a_model_that_has_never_seen_them(
    finished_run: Path, canaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = asked(Path(shutil.copytree(finished_run, tmp_path / "stranger")), canaries, capsys)
    assert record["values"]["extracted"] == record["values"]["ranked first"] == 0.0
    assert record["values"]["exposure"] < 4
