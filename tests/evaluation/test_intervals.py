"""Intervals and tests against scipy's, and against what they promise."""

import numpy as np
import pytest
from scipy import stats

from homespun.evaluation.intervals import bootstrap, resampled_sums, wilson
from homespun.evaluation.measure import LOWER, Measure, figure_of, mean_of, quotient, share_of
from homespun.evaluation.paired import compare, mcnemar


def test_wilson_is_scipys() -> None:
    chance = np.random.default_rng(1)
    for _ in range(1000):
        count = int(chance.integers(1, 500))
        rights = int(chance.integers(0, count + 1))
        expected = stats.binomtest(rights, count).proportion_ci(method="wilson")
        assert wilson(rights, count) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert wilson(0, 0) is None


def test_mcnemar_is_the_binomial_test() -> None:
    chance = np.random.default_rng(2)
    assert mcnemar(0, 0) == 1.0
    for _ in range(1000):
        wins, losses = chance.integers(0, 60, 2).tolist()
        if wins + losses:
            assert mcnemar(wins, losses) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, abs=1e-9)
    assert mcnemar(3000, 0) == pytest.approx(0.0)


def test_resamples_are_sums_of_as_many_examples() -> None:
    rows = np.stack([np.arange(7.0), np.ones(7)], axis=-1)
    sums = resampled_sums(rows, seed=3)
    assert sums.shape == (1000, 2) and (sums[:, 1] == 7).all()
    assert (resampled_sums(rows, seed=3) == sums).all() and not (resampled_sums(rows, seed=4) == sums).all()
    assert sums[:, 0].mean() == pytest.approx(21, abs=0.5)


def test_the_pieces_of_a_large_bootstrap_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.evaluation.intervals.NUMBERS_AT_ONCE", 7 * 300)
    assert resampled_sums(np.ones((7, 1)), seed=1).shape == (1000, 1)


def test_the_bootstrap_holds_the_true_mean_about_19_times_in_20() -> None:
    chance = np.random.default_rng(5)
    held = 0
    for trial in range(300):
        low, high = bootstrap(mean_of("x", chance.normal(2.0, 1.0, 60)).rows, quotient, trial) or (0, 0)
        held += low <= 2.0 <= high
    assert 0.90 <= held / 300 <= 0.98
    assert bootstrap(np.ones((1, 2)), quotient, 1) is None


def test_figures() -> None:
    figure = figure_of(share_of("accuracy", [True, True, False, True]), seed=1)
    assert figure.value == 0.75 and figure.interval == "Wilson" and figure.examples == 4
    assert figure.low is not None and 0.3 < figure.low < 0.75 < (figure.high or 0) < 1
    one = figure_of(mean_of("loss", [2.0], "nats", LOWER), seed=1)
    assert one.value == 2.0 and one.low is None and one.high is None
    many = figure_of(mean_of("loss", [1.0, 2.0, 3.0], "nats", LOWER, weights=[1, 1, 2]), seed=1)
    assert many.value == 1.5 and many.interval == "bootstrap"


def test_a_paired_test_sees_what_two_intervals_do_not() -> None:
    """Hard and easy examples; the second model is a little better on every one."""
    chance = np.random.default_rng(6)
    difficulty = chance.normal(3.0, 1.0, 100)
    first = mean_of("loss", difficulty, better=LOWER)
    second = mean_of("loss", difficulty - 0.05 + chance.normal(0, 0.1, 100), better=LOWER)
    figures = figure_of(first, 1), figure_of(second, 1)
    assert (figures[1].high or 0) > (figures[0].low or 0)  # they overlap
    found = compare(first, second, seed=1)
    assert found.p is not None and found.p < 0.01 and found.test == "paired bootstrap"
    assert found.difference == pytest.approx(0.05, abs=0.03) and (found.low or 0) > 0
    turned = compare(second, first, seed=1)
    assert turned.p == found.p and turned.low == pytest.approx(-(found.high or 0))
    same = compare(first, first, seed=1)
    assert same.p == 1.0 and same.difference == 0 and same.low == same.high == 0


def test_right_and_wrong_answers_are_compared_by_those_that_differ() -> None:
    first, second = [True] * 50 + [True] * 9 + [False], [True] * 50 + [False] * 9 + [True]
    found = compare(share_of("accuracy", first), share_of("accuracy", second), seed=1)
    assert found.test == "McNemar, exact" and found.p == pytest.approx(stats.binomtest(9, 10).pvalue)
    with pytest.raises(ValueError, match="2 examples against 1"):
        compare(mean_of("x", [1.0, 2.0]), mean_of("x", [1.0]), seed=1)


def test_a_chance_difference_is_seldom_called_sure() -> None:
    chance = np.random.default_rng(8)
    sure = 0
    for trial in range(200):
        both = [Measure("x", np.stack([chance.normal(size=50), np.ones(50)], axis=-1), quotient) for _ in range(2)]
        sure += (compare(both[0], both[1], trial).p or 0) < 0.05
    assert sure <= 22
