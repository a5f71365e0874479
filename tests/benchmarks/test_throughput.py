"""The arithmetic of ``benchmarks/throughput.py``: sections under a false clock, operations, medians; two tiny runs."""

from dataclasses import asdict
from itertools import count

import pytest
import torch
from throughput import SHAPES, summary
from throughput_peers import homespun_side, stopwatch
from throughput_peers.contenders import CONTENDERS, README, chosen
from throughput_peers.stopwatch import SECTIONS, Enough, Stopwatch
from throughput_peers.work import Shape, Way, Work

from homespun.models.arithmetic import training_flops_per_token

TINY = Shape(layers=1, heads=2, width=16, vocabulary_size=32, context=8, batch_size=2)


def test_sections_and_their_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 5 s that compiles, then steps of 0.2 s: five to be warm, then sections of three."""
    watch, now = Stopwatch(Work(TINY, Way(), "cpu", 1, seconds=2.0)), [100.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    steps = 0
    with pytest.raises(Enough):
        for step in count():
            ids = watch.batch()
            assert ids.shape == (2, 9) and int(ids.max()) < 32
            now[0] += 0.2 if step else 5.0
            steps += 1
    assert watch.first_step_done == 105.0
    assert len(watch.warm_up) in (5, 6)  # 1 s of them, up to rounding
    assert watch.rates == pytest.approx([16 / 0.2] * len(watch.rates))
    assert len(watch.rates) == 4  # 4 x 0.6 s are the first that make 2 s
    assert steps == 1 + len(watch.warm_up) + 3 * len(watch.rates)


def test_every_process_gets_the_same_ids() -> None:
    work = Work(TINY, Way(), "cpu", 1, seconds=0.0)
    assert torch.equal(Stopwatch(work).ids, Stopwatch(work).ids)


@pytest.mark.parametrize("name", SHAPES)
def test_operations_are_those_of_the_model(name: str) -> None:
    shape = SHAPES[name]
    ours = training_flops_per_token(homespun_side.model_config(shape, "gpt2"))
    assert shape.training_flops_per_token == pytest.approx(ours)


def test_names_lead_to_ways() -> None:
    assert set(README.values()) <= set(CONTENDERS)
    assert [one.way for one in chosen(["nanogpt-bf16*"])] == [Way("bf16", False), Way("bf16", True)]
    assert chosen(["homespun-gpt2-fp32-fused"])[0].way == Way("fp32", False, "gpt2", "fused")
    assert chosen(["nobody"]) == []


def test_medians_over_sections_then_over_processes() -> None:
    def process(*rates: float) -> dict:
        return {"version": "1", "torch": "2", "parameters": 7, "tokens_per_second": rates, "start_seconds": 1.0}

    runs = {
        "nanogpt-fp32": [process(1, 100, 3), process(5, 5, 5), process(4, 4, 4)],
        "homespun-x": [process(8, 8), process(12, 12), process(9, 9)],
    }
    rows = summary(runs, TINY, peak=90 * TINY.training_flops_per_token, reference="nanogpt-fp32")
    assert (rows["nanogpt-fp32"]["tokens_per_second"], rows["nanogpt-fp32"]["range"]) == (4, [3, 5])
    assert (rows["homespun-x"]["ratio"], rows["homespun-x"]["share_of_peak"]) == (9 / 4, pytest.approx(0.1))
    assert summary(runs, TINY, 1.0, "absent")["homespun-x"]["ratio"] is None


@pytest.mark.parametrize("parts", ["gpt2", "default"])
def test_our_side_trains_until_the_watch_has_enough(parts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopwatch, "WARM_UP_SECONDS", 0.001)
    monkeypatch.setattr(stopwatch, "SECTION_SECONDS", 0.001)
    work = Work(TINY, Way("fp32", False, parts, "explicit"), "cpu", 1, seconds=0.001)
    built, watch = homespun_side.build(work), Stopwatch(work)
    with pytest.raises(Enough):
        built.train(watch)
    assert len(watch.rates) >= SECTIONS and min(watch.rates) > 0
    assert Work(**asdict(work) | {"shape": Shape(**asdict(work.shape)), "way": Way(**asdict(work.way))}) == work
