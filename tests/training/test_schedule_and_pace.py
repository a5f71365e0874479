"""The learning rate of each step, and the number of steps that fit into a time."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.training.pace import STEPS_TO_JUDGE_BY, FixedPace, TimedPace
from homespun.training.schedule import SCHEDULES, WITHOUT_TOTAL, first_decay_step, trapezoid
from homespun.training.settings import TrainingConfig

CONFIGS = st.builds(
    TrainingConfig,
    warmup_steps=st.integers(0, 60),
    decay_fraction=st.floats(0, 1),
    final_rate_fraction=st.floats(0, 1),
    schedule=st.sampled_from(sorted(SCHEDULES)),
)


@settings(deadline=None, max_examples=200)
@given(config=CONFIGS, total=st.integers(1, 600))
def test_rates_lie_between_0_and_the_highest_and_rise_only_in_the_warm_up(config: TrainingConfig, total: int) -> None:
    rates = [SCHEDULES[config.schedule](step, total, config) for step in range(total)]
    assert all(0 <= rate <= 1 for rate in rates)
    assert all(rate > 0 for rate in rates[:-1])
    for step in range(config.warmup_steps, total - 1):
        assert rates[step + 1] <= rates[step] + 1e-12


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_the_shape_of_a_usual_run(schedule: str) -> None:
    config = TrainingConfig(schedule=schedule, warmup_steps=99, decay_fraction=0.4, final_rate_fraction=0.02)  # type: ignore[arg-type]
    rates = [SCHEDULES[schedule](step, 1000, config) for step in range(1000)]
    assert rates[0] == 0.01  # near 0, and not 0: a step with rate 0 would be a wasted one
    assert rates[49] == pytest.approx(0.5)
    assert rates[98] == pytest.approx(0.99)
    assert max(rates) == pytest.approx(1.0, abs=1e-4)
    if schedule == "noam":  # as the authors write it, for a model of width 512
        paper = [512**-0.5 * min((step + 1) ** -0.5, (step + 1) * 100**-1.5) for step in range(1000)]
        assert rates == pytest.approx([rate / (512 * 100) ** -0.5 for rate in paper])
        return
    assert rates[-1] == pytest.approx(0.02)
    if schedule == "trapezoid":
        assert rates[99:600] == [1.0] * 501
        assert rates[799] == pytest.approx((1 + 0.02) / 2, abs=1e-9)
    else:
        assert rates[549] == pytest.approx((1 + 0.02) / 2, abs=2e-3)


@settings(deadline=None, max_examples=200)
@given(config=CONFIGS, total=st.integers(1, 600), other=st.integers(1, 600))
def test_before_the_fall_the_total_does_not_matter(config: TrainingConfig, total: int, other: int) -> None:
    for name in WITHOUT_TOTAL:
        share = SCHEDULES[name]
        for step in range(min(first_decay_step(total, config), first_decay_step(other, config))):
            assert share(step, total, config) == share(step, other, config)


def test_without_a_fall_the_rate_stays() -> None:
    config = TrainingConfig(warmup_steps=0, decay_fraction=0.0)
    assert {trapezoid(step, 50, config) for step in range(50)} == {1.0}


def simulate(
    config: TrainingConfig,
    seconds: float,
    total: int,
    step_seconds: list[float],
    stop_at: tuple[int, ...] = (),
) -> tuple[list[int], list[float], float]:
    """Totals as told before each step, the rates of all steps, and the time the run took.

    ``stop_at``: steps at which the process ends and a new one goes on, with a pace of its own.
    """
    pace, totals, rates, now, step = TimedPace(seconds, config), [], [], 0.0, 0
    while True:
        if step in stop_at and len(totals) == step:
            pace = TimedPace(seconds, config)
        total = pace.total_steps(step, total, now)
        totals.append(total)
        if step >= total:
            return totals, rates, now
        rates.append(trapezoid(step, total, config))
        now += step_seconds[step % len(step_seconds)]
        step += 1


@settings(deadline=None, max_examples=60)
@given(
    guess=st.floats(0.35, 3.0),
    noise=st.floats(0, 0.6),
    decay_fraction=st.floats(0.05, 0.9),
    length=st.integers(400, 1500),
    seed=st.integers(0, 2**31),
)
def test_a_timed_run_ends_near_its_deadline(
    guess: float, noise: float, decay_fraction: float, length: int, seed: int
) -> None:
    """The plan guessed wrong by up to a factor of three and every step takes another time.

    What remains is chance: the steps before the fall are a sample, from which those of the fall are foretold.
    """
    source = random.Random(seed)
    steps = [0.1 * (1 + noise * source.uniform(-1, 1)) for _ in range(4000)]
    config = TrainingConfig(decay_fraction=decay_fraction, warmup_steps=10)
    guessed = int(guess * length)
    if first_decay_step(guessed, config) <= STEPS_TO_JUDGE_BY:
        return  # by then nothing has been measured
    seconds = length * 0.1
    totals, _, took = simulate(config, seconds, guessed, steps)
    judged_by = max(STEPS_TO_JUDGE_BY, first_decay_step(totals[-1], config))
    deviation = (
        noise / math.sqrt(3) * math.hypot(decay_fraction / math.sqrt(judged_by), math.sqrt(decay_fraction / length))
    )
    assert abs(took - seconds) / seconds < 0.01 + 5 * deviation


def test_a_usual_timed_run_ends_within_2_percent() -> None:
    source = random.Random(1)
    steps = [0.1 * (1 + 0.3 * source.uniform(-1, 1)) for _ in range(4000)]
    for guessed in (500, 1000, 2500):
        _, _, took = simulate(TrainingConfig(), 100.0, guessed, steps)
        assert took == pytest.approx(100, rel=0.02)


@settings(deadline=None, max_examples=60)
@given(
    seconds=st.floats(0.1, 30),
    guessed=st.integers(1, 300),
    step_seconds=st.lists(st.floats(0.1, 0.9), min_size=1, max_size=40),
    decay_fraction=st.floats(0, 1),
    warmup_steps=st.integers(0, 80),
    stop_at=st.lists(st.integers(0, 300), max_size=4).map(tuple),
)
def test_rates_of_a_timed_run_are_those_of_a_run_with_its_final_total(
    seconds: float,
    guessed: int,
    step_seconds: list[float],
    decay_fraction: float,
    warmup_steps: int,
    stop_at: tuple[int, ...],
) -> None:
    """Also when it is interrupted and continued, at any steps; and once the fall has begun nothing moves."""
    config = TrainingConfig(decay_fraction=decay_fraction, warmup_steps=warmup_steps)
    totals, rates, _ = simulate(config, seconds, guessed, step_seconds, stop_at)
    final = totals[-1]
    assert len(rates) == final
    assert rates == [trapezoid(step, final, config) for step in range(final)]
    assert set(totals[first_decay_step(final, config) :]) == {final}


def test_a_timed_run_is_not_judged_by_its_first_steps() -> None:
    pace = TimedPace(100.0, TrainingConfig())
    assert [pace.total_steps(step, 1000, 50.0 * step) for step in range(STEPS_TO_JUDGE_BY)] == [1000] * 20


def test_a_run_that_is_late_ends_as_soon_as_the_fall_allows() -> None:
    """The time is over at step 100 of 1000: the rate must still fall, over two thirds of what has been done."""
    config = TrainingConfig(decay_fraction=0.4, warmup_steps=0)
    total = TimedPace(10.0, config, origin=(0, 0.0)).total_steps(100, 1000, 11.0)
    assert first_decay_step(total, config) == 100
    assert math.isclose(total, 100 / 0.6, abs_tol=2)


def test_a_continued_run_is_judged_by_its_own_steps() -> None:
    """1000 steps on another machine took 500 s; here a step takes 2 s, and 100 s are left."""
    pace = TimedPace(600.0, TrainingConfig(decay_fraction=0.1))
    assert pace.total_steps(1000, 5000, 500.0) == 5000
    assert pace.total_steps(1020, 5000, 540.0) == 1133  # 1050 would fit, but the fall of 1050 begins before 1020


@settings(deadline=None, max_examples=200)
@given(step=st.integers(20, 800), decay_fraction=st.floats(0, 0.95))
def test_the_least_total_is_the_least(step: int, decay_fraction: float) -> None:
    config = TrainingConfig(decay_fraction=decay_fraction)
    least = TimedPace(1.0, config).least_total(step)
    assert first_decay_step(least, config) >= step
    assert first_decay_step(least - 1, config) < step


@pytest.mark.parametrize("decay_fraction", [0.0, 0.01, 0.05, 0.4, 0.9])
def test_with_even_steps_a_timed_run_ends_within_two_steps(decay_fraction: float) -> None:
    """Whatever the share of the fall: it is not put off from step to step."""
    config = TrainingConfig(decay_fraction=decay_fraction)
    for length in range(400, 440):
        _, _, took = simulate(config, length * 0.1, length, [0.1])
        assert took == pytest.approx(length * 0.1, abs=0.21)


def test_a_fixed_pace_does_not_move() -> None:
    assert [FixedPace().total_steps(step, 70, 1e6) for step in range(100)] == [70] * 100
