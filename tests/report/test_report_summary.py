"""Facts, wording and the terminal's summary."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from homespun.report.facts import work_out
from homespun.report.overview import meaning
from homespun.report.read_run import read_run
from homespun.report.terminal import summary, summary_lines
from homespun.report.training_chapters import verdict
from homespun.report.wording import count, decimal, duration, percent, significant, size, whole

MakeRun = Callable[..., Path]


def test_facts_agree_with_each_other(finished_run: Path) -> None:
    facts = work_out(read_run(finished_run))
    assert facts.validation_loss and facts.bits_per_byte and facts.perplexity and facts.bits_per_nat_token
    assert math.isclose(facts.bits_per_byte, facts.validation_loss * facts.bits_per_nat_token)
    assert math.isclose(math.log(facts.perplexity), facts.validation_loss)
    assert facts.tokens_seen == 3000 * 4096 and facts.memory_bytes == 580_000_000 and facts.seconds_total == 1742
    assert facts.epochs == pytest.approx(3000 * 4096 / 7_760_000)
    assert facts.bytes_per_token_validation == pytest.approx(3_119_000 / 864_000)


def test_before_the_end_the_newest_lines_count(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "training", steps=500)
    facts = work_out(read_run(run))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validation = [line for line in lines if line["kind"] == "validation"][-1]
    assert facts.validation_loss == validation["loss"] and facts.tokens_seen == 500 * 4096
    assert not facts.memorizing


def test_bits_per_byte_follow_from_the_shards_when_no_line_has_them(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "training", steps=500)
    (run / "metrics.jsonl").write_text('{"kind": "validation", "step": 5, "loss": 3.0}\n')
    facts = work_out(read_run(run))
    assert facts.bits_per_byte == pytest.approx(3.0 / math.log(2) * 864_000 / 3_119_000)


def test_a_rising_validation_loss_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "training", steps=500)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"kind": "validation", "step": 600, "loss": 9.5, "bits_per_byte": 3.8, "tokens": 2457600}\n')
    facts = work_out(read_run(run))
    assert facts.memorizing and facts.best_validation_loss and facts.best_validation_loss < 9
    assert "has not caught up with xz yet" in meaning(facts)
    assert "and has risen to 9.500" in verdict(facts)


@pytest.mark.parametrize(("last", "memorizing"), [(4e-8, False), (0.5, True)])
def test_a_loss_of_nothing_is_the_best_there_is(
    make_run: MakeRun, tmp_path: Path, last: float, memorizing: bool
) -> None:
    run = make_run(tmp_path / "run", "training", steps=500)
    lines = [{"kind": "validation", "step": 500 + step, "loss": loss} for step, loss in enumerate((0.0, last))]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = work_out(read_run(run))
    assert facts.memorizing is memorizing
    assert ("has risen to" in verdict(facts)) is memorizing


@pytest.mark.parametrize("stage", ["corpus", "tokenizer", "tokens", "training", "finished"])
def test_the_summary_is_plain_text_and_strict_json(make_run: MakeRun, tmp_path: Path, stage: str) -> None:
    run = read_run(make_run(tmp_path / "run", stage, steps=600))
    lines = summary_lines(run)
    assert lines[0].startswith("the-standard-library: ") and ("not finished" in lines[0]) == (stage != "finished")
    assert all("\n" not in line and "\u202f" not in line and "<" not in line for line in lines)
    told = json.loads(json.dumps(summary(run), allow_nan=False))
    assert told["state"] == stage and told["finished"] == (stage == "finished")
    assert (told["bits_per_byte"] is None) == (stage not in {"training", "finished"})


def test_a_hostile_name_cannot_steer_the_terminal(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "corpus")
    (folder / "run.json").write_text(json.dumps({"name": "a\x1b[2J\r\nb\x9b", "state": "\x1b]0;x\x07"}))
    assert not any(ord(letter) < 32 or letter == "\x9b" for line in summary_lines(read_run(folder)) for letter in line)


def test_words_for_numbers() -> None:
    plain = [
        (count(999), "999"), (count(9_316.4), "9 316"), (count(12_300_000), "12.3 M"), (count(999_900), "1 M"),
        (count(0), "0"), (count(None), "\u2013"), (size(0), "0 B"), (size(512e6), "512 MB"), (size(1500), "1.5 kB"),
        (duration(4.21), "4.2 s"), (duration(59.6), "1 min"), (duration(724), "12 min 4 s"),
        (duration(12_000), "3 h 20 min"), (duration(184_000), "2 d 3 h"), (percent(0.204), "20 %"),
        (percent(0.0549), "5.5 %"), (decimal(1.995), "2.00"), (decimal(-1.5), "\u22121.50"),
        (significant(0.00012), "0.00012"), (significant(3e-7), "3e\u22127"), (significant(1_234_567), "1.23e6"),
        (whole(1_234_567), "1 234 567"),
    ]  # fmt: skip
    for said, expected in plain:
        assert said.replace("\u202f", " ") == expected
