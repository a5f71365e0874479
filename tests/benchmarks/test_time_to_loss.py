"""The arithmetic of ``benchmarks/time_to_loss.py``, its data, its reading of nanoGPT's log, and a tiny run of ours."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining import ours
from pretraining.curve import Curve, Point, curve_of
from pretraining.data import write_data
from pretraining.nanogpt import CONFIG, NEEDED, Log, clean_points, with_seed
from pretraining.nanogpt_exact_loss import IGNORED, windows
from time_to_loss import FILLED, NANOGPT, OURS, steps_within, summary

from homespun.batches import batch
from homespun.batches.next_token import validation_batches
from homespun.batches.shards import TokenShards
from homespun.common.errors import HomespunError

RECIPE = """
[model]
context = 16
layers = 1
width = 16
heads = 2

[training]
steps = 30
batch_size = 4
warmup_steps = 0
precision = "fp32"
attention = "explicit"
compile = "off"
threads = 1
average_decay = 0.5
"""
POINTS = (Point(10, 1.0, 3.0), Point(20, 2.0, 2.0), Point(30, 4.0, 1.0), Point(40, 6.0, 1.5))


def curve(points: tuple[Point, ...] = POINTS, start: float = 0.5) -> Curve:
    return Curve(1000, "fp32", 1, 64, 0.1, start, points)


@pytest.mark.parametrize(
    ("loss", "seconds"), [(4.0, 1.0), (3.0, 1.0), (2.5, 1.5), (2.0, 2.0), (1.25, 3.5), (1.0, 4.0), (0.99, None)]
)
def test_a_loss_is_reached_on_the_line_between_two_evaluations(loss: float, seconds: float | None) -> None:
    assert curve().seconds_to(loss) == seconds


@pytest.mark.parametrize(("process_seconds", "loss"), [(1.4, None), (1.5, 3.0), (4.4, 2.0), (4.5, 1.0), (100, 1.0)])
def test_what_comes_after_the_time_of_the_process_does_not_count(process_seconds: float, loss: float | None) -> None:
    assert curve().lowest_within(process_seconds) == loss


def test_a_curve_survives_the_way_between_processes() -> None:
    assert curve_of(json.loads(json.dumps(asdict(curve())))) == curve()


def test_a_step_that_holds_an_evaluation_counts_as_a_median_step() -> None:
    seconds = [9.0, 1.0, 2.0, 3.0, 9.0, 2.0, 2.0, 2.0, 9.0]  # evaluations before updates 0, 4 and 8
    points = clean_points(seconds, {4: 2.0, 8: 1.0}, interval=4)
    assert points == (Point(4, 2.0 + 6.0, 2.0), Point(8, 8.0 + 2.0 + 6.0, 1.0))


def test_times_ratios_and_runs_that_never_come_there() -> None:
    high = (Point(10, 1.0, 3.0), Point(40, 12.0, 2.6))
    curves = {NANOGPT: [curve(high), curve(high), curve()], OURS: [curve()] * 3}
    found = summary(curves, [2.5, 0.5], process_seconds=2.6)
    theirs, ours = (found["rows"][side]["to_loss"]["2.5"] for side in (NANOGPT, OURS))
    assert (theirs["reached"], theirs["training"], theirs["training_range"]) == (1, 12.0, [1.5, 12.0])
    assert (ours["reached"], ours["training"], ours["process"]) == (3, 1.5, 2.0)
    assert found["ratios"]["2.5"] == {"training": 12.0 / 1.5, "process": 12.5 / 2.0}
    assert found["ratios"]["0.5"] == {"training": None, "process": None}  # ours never came there
    assert [row["losses"] for row in found["rows"].values()] == [[3.0, 3.0, 2.0], [2.0] * 3]
    with pytest.raises(HomespunError, match="no evaluation within 1 s"):
        summary(curves, [2.5], process_seconds=1)


def test_steps_that_fill_a_time() -> None:
    trial = Curve(1000, "fp32", 1, 64, 0.1, 2.0, (Point(20, 5.0, 3.0),))  # 3 s more than 20 steps of 0.1 s
    assert steps_within(trial, 100.0) == pytest.approx((FILLED * 100 - 2 - 3) / 0.1, abs=1)
    with pytest.raises(HomespunError, match="too few"):
        steps_within(trial, 5.0)


def test_a_checkpoint_is_put_aside_only_when_it_is_whole(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.txt", tmp_path)

    def say(text: str) -> None:
        with open(log.path, "a", encoding="utf-8") as file:
            file.write(text)
        log.look()

    checkpoint, aside = tmp_path / "ckpt.pt", tmp_path / "step-00000002.pt"
    say("step 0: train loss 4.2, val loss 4.2\niter 0: loss 4.2, time 900.00ms, mfu -100.00%\n")
    say("iter 1: loss 4.1, time 10.00ms, mfu -100.00%\nstep 2: train loss 4.0, val loss 4.0\nsaving checkpoint to x\n")
    checkpoint.write_bytes(b"half of it")
    say("iter 2: loss 4.0, ti")
    assert checkpoint.exists() and not aside.exists()
    checkpoint.write_bytes(b"all of it")
    say("me 30.00ms, mfu 1.00%\n")
    assert aside.read_bytes() == b"all of it" and not checkpoint.exists()
    assert log.step_seconds == [0.9, 0.01, 0.03]


def test_another_seed_changes_one_number_of_a_copy(tmp_path: Path) -> None:
    checkout = tmp_path / "nanoGPT"
    (checkout / CONFIG).parent.mkdir(parents=True)
    program = "x = 1337\ntorch.manual_seed(1337 + seed_offset)\n"
    for name in NEEDED:
        (checkout / name).write_text(program if name == "train.py" else name)
    assert with_seed(checkout, 1, tmp_path) == checkout
    copy = with_seed(checkout, 3, tmp_path)
    assert (copy / "train.py").read_text() == "x = 1337\ntorch.manual_seed(1339 + seed_offset)\n"
    assert [(copy / name).read_text() for name in NEEDED if name != "train.py"] == list(NEEDED[1:])
    assert (checkout / "train.py").read_text() == program
    (checkout / "train.py").write_text("no seed")
    with pytest.raises(HomespunError, match="only --seeds 1"):
        with_seed(checkout, 2, tmp_path)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Characters enough for a validation split, the two forms of it beside the file."""
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{number} тысяч слов,\n" for number in range(1000)), "utf-8")
    assert write_data(path, tmp_path / "nanogpt", tmp_path / "shards") == len(set(path.read_text("utf-8")))
    return path


def test_both_sides_are_measured_on_the_same_windows(text: Path) -> None:
    tokens = np.fromfile(text.parent / "nanogpt" / "val.bin", dtype="<u2")
    assert len(tokens) == len(text.read_text("utf-8")) - int(0.9 * len(text.read_text("utf-8")))
    inputs, targets = windows(tokens, 64)
    own = list(validation_batches(TokenShards(text.parent / "shards", "validation"), 64, 5))
    assert torch.equal(inputs, torch.cat([part.inputs for part in own]))
    expected = torch.cat([part.targets for part in own])
    assert torch.equal(targets, expected.masked_fill(expected == batch.IGNORED, IGNORED))
    assert int((targets != IGNORED).sum()) == len(tokens) - 1


def test_our_side_trains_the_recipe_and_times_it_without_evaluations(text: Path) -> None:
    recipe = text.with_suffix(".toml")
    recipe.write_text(RECIPE, "utf-8")
    task = ours.Task(str(text.parent / "shards"), str(recipe), steps=0, interval=12, seed=1)
    found, elapsed = ours.run(task)
    assert [point.step for point in found.points] == [12, 24, 30]
    assert found.tokens_per_step == 64 and found.execution == "fp32, explicit attention, eager, 1 threads"
    assert found.points[0].seconds < found.points[1].seconds < found.seconds < elapsed
    assert found.final_loss < found.points[0].loss < np.log(22)
    again, _ = ours.run(task)
    assert [point.loss for point in again.points] == [point.loss for point in found.points]
