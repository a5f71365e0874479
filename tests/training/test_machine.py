"""What is fastest here: chosen from measured speeds, remembered, and never against the user's word."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from homespun.models.arithmetic import training_flops_per_token
from homespun.models.settings import GPTConfig, LSTMConfig, ModelConfig, RWKVConfig
from homespun.training import machine
from homespun.training.execution import Execution
from homespun.training.machine import MOST_REMEMBERED, Speed, choose_execution, fastest, measure_step
from homespun.training.settings import TrainingConfig
from tests.training.process import CPU

MODEL = GPTConfig(vocabulary_size=32, context=8, layers=1, width=16, heads=1)
OPEN = TrainingConfig(optimizer="adamw")
SHORT, LONG = 1e3, 1e12  # tokens
CORES = 4


class Stopwatch:
    """Stands for ``measure_step``: tells invented speeds and remembers what was asked."""

    def __init__(self) -> None:
        self.speed: Callable[[Execution], float] = lambda execution: 100.0
        self.asked: list[Execution] = []

    def __call__(self, config: ModelConfig, rows: int, execution: Execution, *_: object) -> Speed:
        self.asked.append(execution)
        return Speed(execution, 1.0, self.speed(execution))

    def choose(
        self, training: TrainingConfig = OPEN, tokens: float = SHORT, rows: int = 4, model: ModelConfig = MODEL
    ) -> Execution:
        """``choose_execution``; ``asked`` is then what was measured for it."""
        self.asked = []
        execution, speeds = choose_execution(model, rows, training, CPU, tokens)
        assert [speed.execution for speed in speeds] == self.asked
        assert torch.get_num_threads() == execution.threads
        return execution


@pytest.fixture
def stopwatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopwatch]:
    watch = Stopwatch()
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "measure_step", watch)
    monkeypatch.setattr(machine, "available_cores", lambda: CORES)
    monkeypatch.setattr(machine, "why_not_compile", lambda device_type: "")
    before = torch.get_num_threads()
    yield watch
    torch.set_num_threads(before)


WAYS = [Execution(*way, threads=CORES) for way in itertools.product(("fp32", "bf16"), ("fused", "explicit"))]


@pytest.mark.parametrize("best", [*WAYS, *(replace(way, threads=CORES // 2) for way in WAYS)], ids=str)
def test_the_fastest_is_chosen(stopwatch: Stopwatch, best: Execution) -> None:
    """Of threads only half as many are tried, with what was fastest on all of them."""
    alike = replace(best, threads=CORES)
    stopwatch.speed = lambda execution: 300.0 if execution == best else 200.0 if execution == alike else 100.0
    assert stopwatch.choose() == best
    assert sorted(map(str, stopwatch.asked)) == sorted(map(str, [*WAYS, replace(alike, threads=CORES // 2)]))


@pytest.mark.parametrize(
    ("model", "eager", "compiled"),
    [
        (LSTMConfig(vocabulary_size=32, context=8, layers=1, width=16), ("fused", "explicit"), ()),
        (RWKVConfig(vocabulary_size=32, context=8, layers=1, width=16), ("fused",), ("fused",)),
    ],
)
def test_only_what_may_be_fastest_is_measured(
    stopwatch: Stopwatch, model: ModelConfig, eager: tuple[str, ...], compiled: tuple[str, ...]
) -> None:
    stopwatch.choose(model=model, tokens=LONG)
    ways = [(way.attention, way.compiled) for way in stopwatch.asked if way.threads == CORES]
    assert set(ways) == {*((name, False) for name in eager), *((name, True) for name in compiled)}


def test_noise_does_not_outweigh_the_plainer_way() -> None:
    def speeds(*values: float) -> list[Speed]:
        return [Speed(way, 1.0, value) for way, value in zip(WAYS, values, strict=True)]

    assert fastest(speeds(100, 102, 102.9, 99)).execution == WAYS[0]
    assert fastest(speeds(100, 104, 102, 106)).execution == WAYS[1]
    assert fastest(speeds(100, 104, 102, 110)).execution == WAYS[3]


def test_what_was_found_is_remembered(stopwatch: Stopwatch) -> None:
    stopwatch.speed = lambda execution: 200.0 if execution.precision == "bf16" else 100.0
    chosen = stopwatch.choose()
    assert chosen.precision == "bf16" and len(stopwatch.asked) == 5
    stopwatch.speed = lambda execution: 1.0
    assert stopwatch.choose() == chosen and stopwatch.asked == []


@pytest.mark.parametrize(
    "other",
    [
        {"rows": 8},
        {"model": replace(MODEL, context=16)},
        {"model": replace(MODEL, dropout=0.1)},
        {"training": replace(OPEN, optimizer="muon")},
        {"training": replace(OPEN, recompute=True)},
    ],
    ids=str,
)
def test_other_steps_are_measured_anew(stopwatch: Stopwatch, other: dict[str, object]) -> None:
    stopwatch.choose()
    stopwatch.choose(**other)  # type: ignore[arg-type]
    assert stopwatch.asked != []
    stopwatch.choose()
    assert stopwatch.asked == []


@pytest.mark.parametrize("what", ["device_name", "available_cores"])
def test_another_machine_is_measured_anew(stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    stopwatch.choose()
    monkeypatch.setattr(machine, what, {"device_name": lambda device: "another", "available_cores": lambda: 2}[what])
    stopwatch.choose()
    assert stopwatch.asked != []


def test_what_does_not_change_a_step_is_not_measured_anew(stopwatch: Stopwatch) -> None:
    stopwatch.choose()
    for change in ({"learning_rate": 0.5, "seed": 9, "log_every": 3}, {"precision": "bf16", "threads": CORES}):
        stopwatch.choose(replace(OPEN, **change))  # type: ignore[arg-type]
        assert stopwatch.asked == []


def memory_file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "speeds.json"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[]", b"null", b'"text"'])
def test_a_damaged_memory_is_no_memory(stopwatch: Stopwatch, tmp_path: Path, content: bytes) -> None:
    chosen = stopwatch.choose()
    memory_file(tmp_path).write_bytes(content)
    assert stopwatch.choose() == chosen and len(stopwatch.asked) == 5
    assert stopwatch.choose() == chosen and stopwatch.asked == []  # and it is whole again


@pytest.mark.parametrize("speed", [None, "fast", 0.0, -5.0, float("nan"), float("inf"), [], {}, True], ids=str)
def test_a_speed_that_makes_no_sense_is_measured_again(stopwatch: Stopwatch, tmp_path: Path, speed: object) -> None:
    chosen = stopwatch.choose()
    [(key, speeds)] = json.loads(memory_file(tmp_path).read_text()).items()
    memory_file(tmp_path).write_text(json.dumps({key: speeds | {str(WAYS[2]): speed}}))
    assert stopwatch.choose() == chosen and stopwatch.asked == [WAYS[2]]


@pytest.mark.parametrize("speeds", [None, 3, [], {}], ids=str)
def test_speeds_that_make_no_sense_are_measured_again(stopwatch: Stopwatch, tmp_path: Path, speeds: object) -> None:
    chosen = stopwatch.choose()
    [key] = json.loads(memory_file(tmp_path).read_text())
    memory_file(tmp_path).write_text(json.dumps({key: speeds}))
    assert stopwatch.choose() == chosen and len(stopwatch.asked) == 5


def test_a_cache_that_cannot_be_written_costs_only_the_memory(
    stopwatch: Stopwatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        assert stopwatch.choose() == WAYS[0] and len(stopwatch.asked) == 5


def test_the_memory_does_not_grow_without_end(stopwatch: Stopwatch, tmp_path: Path) -> None:
    memory_file(tmp_path).parent.mkdir()
    memory_file(tmp_path).write_text(json.dumps({f"old {number}": {} for number in range(MOST_REMEMBERED)}))
    stopwatch.choose()
    kept = json.loads(memory_file(tmp_path).read_text())
    assert len(kept) == MOST_REMEMBERED and "old 0" not in kept and "old 1" in kept
    stopwatch.choose()
    assert stopwatch.asked == []


@pytest.mark.parametrize(
    ("fixed", "tried"),
    [
        ({"precision": "bf16"}, {("bf16", "fused"), ("bf16", "explicit")}),
        ({"attention": "explicit"}, {("fp32", "explicit"), ("bf16", "explicit")}),
        ({"precision": "fp32", "attention": "fused"}, {("fp32", "fused")}),
    ],
)
def test_what_the_user_has_set_is_respected(
    stopwatch: Stopwatch, fixed: dict[str, str], tried: set[tuple[str, str]]
) -> None:
    """Whatever else would be faster."""
    stopwatch.speed = lambda execution: 1.0 + 50.0 * (execution.precision not in fixed.values())
    chosen = stopwatch.choose(replace(OPEN, **fixed))  # type: ignore[arg-type]
    assert {(way.precision, way.attention) for way in stopwatch.asked} == tried
    assert all(getattr(chosen, key) == value for key, value in fixed.items())


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_that_are_set_stay(stopwatch: Stopwatch, threads: int) -> None:
    stopwatch.speed = lambda execution: 1000.0 / execution.threads
    assert stopwatch.choose(replace(OPEN, threads=threads)).threads == threads
    assert {way.threads for way in stopwatch.asked} == {threads}


def test_recomputing_is_the_users_choice(stopwatch: Stopwatch) -> None:
    assert stopwatch.choose(replace(OPEN, recompute=True)).recomputed
    assert all(way.recomputed for way in stopwatch.asked)
    assert not stopwatch.choose().recomputed


@pytest.mark.parametrize(("gain", "compiled"), [(1.5, True), (1.02, False), (0.7, False)])
def test_compiling_is_measured_for_a_long_run_and_taken_where_it_pays(
    stopwatch: Stopwatch, gain: float, compiled: bool
) -> None:
    stopwatch.speed = lambda execution: 100.0 * (gain if execution.compiled else 1.0)
    assert not stopwatch.choose(tokens=SHORT).compiled
    assert not any(way.compiled for way in stopwatch.asked)
    assert stopwatch.choose(tokens=LONG).compiled == compiled
    # The rest was known.
    assert stopwatch.asked == [replace(WAYS[0], compiled=True, attention=kernel) for kernel in ("fused", "explicit")]
    assert stopwatch.choose(tokens=LONG).compiled == compiled and stopwatch.asked == []
    assert not stopwatch.choose(tokens=SHORT).compiled and stopwatch.asked == []


def test_long_is_what_takes_long_here(stopwatch: Stopwatch) -> None:
    stopwatch.speed = lambda execution: 1e3 * (2.0 if execution.compiled else 1.0)
    worth = machine.SECONDS_WORTH_COMPILING["cpu"]
    assert not stopwatch.choose(tokens=0.99 * worth * 1e3).compiled
    assert stopwatch.choose(tokens=1.01 * worth * 1e3).compiled


def test_a_kernel_that_is_the_fastest_only_when_compiled_is_found(stopwatch: Stopwatch) -> None:
    speeds = {("fused", False): 100.0, ("explicit", False): 90.0, ("fused", True): 101.0, ("explicit", True): 130.0}
    stopwatch.speed = lambda execution: speeds[execution.attention, execution.compiled]
    assert stopwatch.choose(tokens=SHORT).attention == "fused"
    chosen = stopwatch.choose(tokens=LONG)
    assert (chosen.attention, chosen.compiled) == ("explicit", True)


def test_nothing_is_compiled_against_the_users_word_or_without_a_compiler(
    stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopwatch.speed = lambda execution: 100.0 * (2.0 if execution.compiled else 1.0)
    assert not stopwatch.choose(replace(OPEN, compile="off"), LONG).compiled
    assert stopwatch.choose(replace(OPEN, compile="on"), SHORT).compiled
    assert not any(way.compiled for way in stopwatch.asked)
    monkeypatch.setattr(machine, "why_not_compile", lambda device_type: "no compiler")
    assert not stopwatch.choose(tokens=LONG).compiled
    assert not any(way.compiled for way in stopwatch.asked)


def test_a_real_measurement_leaves_no_trace() -> None:
    """Random numbers are where they were, or the run that follows would not be the one that was asked for."""
    state = torch.get_rng_state()
    for training in (OPEN, TrainingConfig(optimizer="muon", batch_size=8, micro_batch_size=4)):
        speed = measure_step(MODEL, 2, Execution("bf16", "explicit", recomputed=True), CPU, training, steps=2)
        assert speed.tokens_per_second > 0
        assert speed.flops_per_second == training_flops_per_token(MODEL) * speed.tokens_per_second
        assert (speed.precision, torch.get_num_threads()) == ("bf16", 1)
    assert torch.equal(torch.get_rng_state(), state)
