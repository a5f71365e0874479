"""Whole runs on pairs of texts, through the command line: from a table to translations, stopped and gone on with."""

import io
import json
import shutil
from pathlib import Path

import pytest

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from tests.pipeline.conftest import fail, unfinished_copy

SMALL = [
    "--model.architecture=encoder_decoder",
    "--model.width=32",
    "--model.layers=1",
    "--model.heads=2",
    "--model.context=40",
    "--tokenizer.vocabulary-size=330",
    "--training.steps=60",
    "--training.batch-size=16",
    "--training.warmup-steps=5",
    "--training.evaluate-every=25",
    "--training.sample-every=30",
    "--training.precision=fp32",
    "--training.attention=fused",
    "--training.compile=off",
    "--training.threads=1",
    "--training.checkpoint-seconds=0",
]
LAST = "checkpoints/step-00000060/model.safetensors"
COLOURS = {"red": "rote", "blue": "blaue", "green": "grüne", "old": "alte", "new": "neue", "small": "kleine"}
THINGS = {"dog": "Hund", "man": "Mann", "ball": "Ball", "tree": "Baum", "table": "Tisch", "hat": "Hut", "boat": "Kahn"}
DEEDS = {"runs": "läuft", "falls": "fällt", "waits": "wartet", "sings": "singt", "is here": "ist hier"}


def small_language() -> list[tuple[str, str]]:
    """Some hundred sentences that are translated word by word."""
    return [
        (f"the {english} {thing} {deed}", f"der {german} {ding} {tat}")
        for english, german in COLOURS.items()
        for thing, ding in THINGS.items()
        for deed, tat in DEEDS.items()
    ]


def write_pairs(file: Path, source: str = "source", target: str = "target") -> Path:
    rows = [{source: english, target: german} for english, german in small_language()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Path:
    """An uninterrupted run; tests work on copies of it."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert run(["train", str(pairs), "--out", str(out), *SMALL]) == 0
    return out


def test_a_run_leaves_what_every_run_leaves(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "validation"]
    assert len(losses) == 3 and losses[-1] < losses[0]
    manifest = json.loads((finished / "tokens" / "manifest.json").read_text())["splits"]
    assert result["epochs"] == 60 * 16 / manifest["train"]["documents"]
    # Of the target texts alone: every token of theirs and one end for each.
    both = manifest["validation"]["tokens"]
    assert manifest["validation"]["documents"] < result["validation_tokens"] < both / 2 + both / 8
    samples = [json.loads(line) for line in (finished / "samples.jsonl").read_text().splitlines()]
    assert [sample["prompt"][:4] for sample in samples] == ["the "] * 6
    assert all(sample["text"].startswith("\n") for sample in samples)
    page = (finished / "report.html").read_text()
    assert "homespun translate" in page and "homespun generate" not in page


def test_killed_it_goes_on_to_the_same_bits(finished: Path, tmp_path: Path) -> None:
    copy = unfinished_copy(finished, tmp_path)
    for name in ("result.json", LAST.split("/model")[0]):
        path = copy / name
        if path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(["train", "--resume", str(copy)]) == 0
    assert sha256_of_file(copy / LAST) == sha256_of_file(finished / LAST)


def test_the_recorded_configuration_makes_it_again(finished: Path, pairs: Path, tmp_path: Path) -> None:
    again = ["build", str(pairs), "--config", str(finished / "config.toml"), "--out", str(tmp_path / "again")]
    assert run(again) == 0
    assert sha256_of_file(tmp_path / "again" / LAST) == sha256_of_file(finished / LAST)


def test_it_learns_the_language_and_translates_from_the_command_line(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "learned"
    more = ["--training.steps=150", "--training.evaluate-every=150", "--training.sample-every=0"]
    more.append("--training.learning-rate=0.03")
    options = [option for option in SMALL if option.partition("=")[0] not in {name.partition("=")[0] for name in more}]
    assert run(["train", str(pairs), "--out", str(out), *options, *more]) == 0
    assert f'homespun translate {out} "…"' in capsys.readouterr().out
    held_back = [
        json.loads(line)["prompt"] for line in (out / "samples.jsonl").read_text().splitlines()
    ]  # from the validation split
    table = dict(small_language())
    assert run(["translate", str(out), *held_back]) == 0
    translations = capsys.readouterr().out.splitlines()
    assert sum(table[text] == found for text, found in zip(held_back, translations, strict=True)) >= 2

    monkeypatch.setattr("sys.stdin", io.StringIO(held_back[0] + "\n"))
    assert run(["translate", str(out), "--file", "-"]) == 0
    assert capsys.readouterr().out == translations[0] + "\n"

    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join([held_back[0], "", *held_back[1:], held_back[0]]) + "\n")
    assert run(["translate", str(out), "--file", str(lines), "--beam", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["translations"]
    assert [one["source"] for one in found] == [held_back[0], "", *held_back[1:], held_back[0]]
    assert found[1] == {"source": "", "text": "", "score": 0.0, "complete": True}
    assert found[0] == found[-1] and found[0]["text"] and found[0]["score"] < 0

    assert run(["translate", str(out), "the red dog " * 40]) == 0
    assert "text 1: longer than the 40 tokens of the model, cut off" in capsys.readouterr().err


def test_the_other_direction_is_two_words_on_the_command_line(tmp_path: Path) -> None:
    table, out = write_pairs(tmp_path / "pairs.jsonl", "en", "de"), tmp_path / "turned"
    columns = ["--corpus.source-column=de", "--corpus.target-column=en"]
    short = [option for option in SMALL if "steps=60" not in option]
    assert run(["train", str(table), "--out", str(out), *short, *columns, "--training.steps=2"]) == 0
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert all(sample["prompt"].startswith("der ") for sample in samples)


def test_a_build_by_time_plans_by_the_length_of_the_pairs(
    pairs: Path, tmp_path: Path, own_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.pipeline.planning.plan.LEAST_TRAINING_SECONDS", 0.5)  # a busy machine is no failure
    out = tmp_path / "built"
    unplanned = ("--model.context", "--training.steps", "--training.evaluate-every", "--training.sample-every")
    options = [option for option in SMALL if not option.startswith(unplanned)]
    assert run(["build", str(pairs), "--minutes", "0.4", "--out", str(out), *options]) == 0
    values = json.loads((out / "plan.json").read_text())["values"]
    assert values["model.context"] in (16, 24) and values["corpus.source_column"] == "source"
    assert values["tokenizer.special_tokens"] == ["<|separator|>"]
    assert json.loads((out / "plan.json").read_text())["timed"]
    assert json.loads((out / "result.json").read_text())["steps"] >= 1


def test_batches_by_threads_are_the_same(finished: Path, pairs: Path, tmp_path: Path) -> None:
    ahead = ["train", str(pairs), "--out", str(tmp_path / "ahead"), *SMALL, "--training.workers=1"]
    assert run(ahead) == 0
    assert sha256_of_file(tmp_path / "ahead" / LAST) == sha256_of_file(finished / LAST)


def test_a_rate_can_be_searched_for(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rate", str(finished), "--steps", "12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suggested"] > 0


def test_pairs_that_are_too_long_are_told(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [option for option in SMALL if not option.startswith(("--model.context", "--training.steps"))]
    narrow = ["--model.context=12", "--training.steps=2"]
    assert run(["train", str(pairs), "--out", str(tmp_path / "narrow"), *options, *narrow]) == 0
    assert "pairs longer than the context of 12 tokens are left out" in capsys.readouterr().err


def test_what_cannot_be_is_one_line(
    pairs: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled = [option.replace("compile=off", "compile=on") for option in SMALL]
    line = fail(["train", str(pairs), "--out", str(tmp_path / "none"), *compiled], capsys, 2)
    assert "the batches of encoder_decoder are of many lengths" in line
    text = tmp_path / "text.txt"
    text.write_text("only a text " * 200)
    line = fail(["train", str(text), "--out", str(tmp_path / "none"), *SMALL], capsys)
    assert "text.txt has no columns source and target (for pairs of texts)" in line
    line = fail(["generate", str(finished), "--prompt", "the"], capsys, 2)
    assert (
        f'{finished} holds a model (encoder_decoder) that translates texts: homespun translate {finished} "…"' in line
    )
    assert "give texts to translate" in fail(["translate", str(finished)], capsys, 2)
    assert "give texts to translate" in fail(["translate", str(finished), "a", "--file", "b"], capsys, 2)
    assert "cannot read" in fail(["translate", str(finished), "--file", str(tmp_path / "none.txt")], capsys, 2)
    assert "--beam is 0" in fail(["translate", str(finished), "a", "--beam", "0"], capsys, 2)
    (tmp_path / "latin.txt").write_bytes(b"gr\xfcn")
    assert "is not UTF-8" in fail(["translate", str(finished), "--file", str(tmp_path / "latin.txt")], capsys, 2)


def test_a_model_of_texts_does_not_translate(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "(gpt) that continues texts: homespun generate" in fail(["translate", str(finished_run), "a"], capsys, 2)
