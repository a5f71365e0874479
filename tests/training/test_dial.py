"""Minutes, tokens or size: what the user writes, and what the plan makes of it."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.common.errors import UsageError
from homespun.models.arithmetic import matrix_parameters, parameter_count
from homespun.training.budget import LAW, candidate_for_size, candidate_for_tokens, expectation, rungs, tokens_of
from homespun.training.dial import Dial, amount
from tests.training.test_budget import FACTS, MODEL, situation

LONG = replace(FACTS, train_bytes=10_000_000_000)


@pytest.mark.parametrize(
    ("text", "value"),
    [("124M", 124_000_000), ("1.5b", 1_500_000_000), ("2e6", 2_000_000), ("50_000", 50_000), ("3K", 3000)],
)
def test_amounts(text: str, value: int) -> None:
    assert amount(text, "--size") == value


@pytest.mark.parametrize("text", ["", "0", "-3", "M", "3x", "inf", "nan", "1 2"])
def test_an_amount_that_is_none_is_named_with_its_option(text: str) -> None:
    with pytest.raises(UsageError, match=r"--tokens is .*give a number above 0"):
        amount(text, "--tokens")


@given(st.integers(1, 10**13))
def test_every_number_is_itself(value: int) -> None:
    assert amount(str(value), "--size") == value


@pytest.mark.parametrize("given_values", [{}, {"minutes": 1.0, "tokens": 5}, {"tokens": 5, "parameters": 5}])
def test_exactly_one_is_given(given_values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="give one of --minutes, --tokens and --size"):
        Dial(**given_values)  # type: ignore[arg-type]


@pytest.mark.parametrize("tokens", [30_000, 3_000_000, 300_000_000])
def test_so_many_tokens_are_read(tokens: int) -> None:
    found = candidate_for_tokens(LAW, situation(facts=LONG), Dial(tokens=tokens))
    assert tokens_of(found) == pytest.approx(tokens, rel=0.02)


def test_more_tokens_ask_for_larger_models() -> None:
    sizes = [
        matrix_parameters(candidate_for_tokens(LAW, situation(facts=LONG), Dial(tokens=tokens)).model)
        for tokens in (10**5, 10**7, 10**9)
    ]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


@pytest.mark.parametrize("parameters", [10**5, 10**6, 10**7, 10**8])
def test_the_size_is_the_next_on_the_ladder_and_the_best_for_its_time(parameters: int) -> None:
    now = situation(facts=LONG, memory=1 << 50)
    found = candidate_for_size(LAW, now, Dial(parameters=parameters))
    ladder = [parameter_count(shape) for shape in rungs(now.model, now.fixed)]
    assert parameter_count(found.model) == min(ladder, key=lambda count: abs(math.log(count / parameters)))
    seconds = tokens_of(found) / found.tokens_per_second + found.final_validation_seconds
    others = [expectation(LAW, replace(now, seconds=seconds), shape).loss for shape in rungs(now.model, now.fixed)]
    assert found.loss <= min(others) * 1.01


def test_rough_minutes_grow_with_what_is_asked() -> None:
    assert Dial(minutes=3.0).rough_minutes == 3.0
    assert Dial(tokens=10**6).rough_minutes < Dial(tokens=10**8).rough_minutes < Dial(parameters=10**8).rough_minutes


def test_a_model_that_the_user_has_fixed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = situation(facts=LONG, model=replace(MODEL, width=128, heads=2), fixed=frozenset({"model.width"}))
    assert candidate_for_tokens(LAW, fixed, Dial(tokens=10**8)).model.width == 128
