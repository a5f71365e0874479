"""The plan on paper: what more time, more text and more passes do to it, and what the user has fixed."""

from dataclasses import replace

import pytest

from homespun.models.arithmetic import parameter_count, training_flops_per_token
from homespun.models.settings import GPTConfig
from homespun.training.budget import (
    LAW,
    Machine,
    Situation,
    TextFacts,
    best_candidate,
    dropout_for,
    expected_loss,
    most_passes,
    rungs,
)
from homespun.training.execution import Execution
from homespun.training.machine import Speed
from homespun.training.memory import PROCESS, needed_bytes
from homespun.training.pace import TimedPace
from homespun.training.settings import TrainingConfig

FACTS = TextFacts(
    train_bytes=10_000_000, validation_bytes=100_000, bytes_per_token=3.0, unigram_loss=6.0, gzip_bits_per_byte=2.5
)
MODEL = GPTConfig(vocabulary_size=4096)
# A machine of 100 GFLOP/s, whatever the size.
MACHINE = Machine(Execution("fp32"), tuple(Speed(Execution("fp32"), flops, 1e11 / flops) for flops in (1e6, 1e9)))


def situation(seconds: float = 180.0, facts: TextFacts = FACTS, **changes: object) -> Situation:
    """A plain case; ``changes`` to it."""
    plain = Situation(facts, MODEL, TrainingConfig(), frozenset(), MACHINE, seconds, memory=16 << 30)
    return replace(plain, **changes)


def test_speed_is_operations_over_operations_per_token() -> None:
    assert MACHINE.tokens_per_second(MODEL) == pytest.approx(1e11 / training_flops_per_token(MODEL))
    assert MACHINE.validation_tokens_per_second(MODEL) == pytest.approx(3 * MACHINE.tokens_per_second(MODEL))


def test_more_of_anything_is_never_expected_to_be_worse() -> None:
    small, large = replace(MODEL, width=64, heads=1), replace(MODEL, width=512, heads=8)
    assert expected_loss(LAW, FACTS, large, 1e7) < expected_loss(LAW, FACTS, small, 1e7)
    losses = [expected_loss(LAW, FACTS, MODEL, tokens) for tokens in (1e5, 1e6, 1e7, 1e8)]
    assert losses == sorted(losses, reverse=True)
    by_time = [best_candidate(LAW, situation(seconds)).loss for seconds in (30, 60, 300, 3600)]
    assert by_time == sorted(by_time, reverse=True)


def test_more_time_asks_for_larger_models() -> None:
    quick, long = best_candidate(LAW, situation(60)), best_candidate(LAW, situation(36_000))
    assert long.model.width > quick.model.width and long.batch_size > quick.batch_size


def test_the_steps_fit_into_the_time() -> None:
    best = best_candidate(LAW, situation(300))
    seconds = best.steps * best.batch_size * best.model.context / best.tokens_per_second
    assert seconds + best.final_validation_seconds == pytest.approx(300, rel=0.01)
    assert not best.ends_early


def test_what_is_fixed_stays() -> None:
    fixed = frozenset({"model.width", "model.heads", "training.batch_size", "training.steps"})
    model = replace(MODEL, width=96, heads=3)
    training = TrainingConfig(batch_size=7, steps=11)
    best = best_candidate(LAW, situation(model=model, training=training, fixed=fixed))
    assert (best.model.width, best.model.heads, best.batch_size, best.steps) == (96, 3, 7, 11)
    assert all(rung.width == 96 for rung in rungs(model, fixed))


def test_shapes_that_do_not_fit_into_memory_are_passed_over() -> None:
    roomy = best_candidate(LAW, situation(360_000))
    one_row = PROCESS + int(needed_bytes(roomy.model, TrainingConfig(), roomy.batch_size, 1))
    tight = best_candidate(LAW, situation(360_000, memory=one_row))
    assert tight.model == roomy.model and tight.memory_bytes == one_row <= roomy.memory_bytes
    tighter = best_candidate(LAW, situation(360_000, memory=one_row - 1))
    assert parameter_count(tighter.model) < parameter_count(roomy.model) and tighter.memory_bytes < one_row


def test_a_short_text_is_not_read_until_it_is_known_by_heart() -> None:
    short = replace(FACTS, train_bytes=20_000)
    best = best_candidate(LAW, situation(600, short))
    passes = best.steps * best.batch_size * best.model.context / short.train_tokens
    assert best.ends_early and passes <= most_passes(short, best.model) < 60
    assert most_passes(short, best.model) < most_passes(FACTS, best.model)
    assert dropout_for(passes) > 0 == dropout_for(1.0)


def test_a_timed_run_never_has_more_steps_than_the_plan_allows() -> None:
    pace = TimedPace(seconds=100.0, config=TrainingConfig(decay_fraction=0.4), most_steps=300)
    assert pace.total_steps(0, 250, 0.0) == 250
    assert pace.total_steps(100, 250, 10.0) == 300  # 1,000 would fit
