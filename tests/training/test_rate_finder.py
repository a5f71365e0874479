"""The learning-rate finder: on a real small model, and on a curve whose answer is known."""

import math

import numpy as np
import pytest
import torch

from homespun.models.settings import GPTConfig
from homespun.training.execution import Execution
from homespun.training.machine import trial_steps
from homespun.training.rate_finder import BROKEN_OUT, Trial, suggest, try_rates
from homespun.training.settings import TrainingConfig

CPU = torch.device("cpu")
MODEL = GPTConfig(vocabulary_size=64, context=16, layers=2, width=32, heads=2)


def test_the_rate_of_the_fastest_fall_is_suggested() -> None:
    """A loss that falls along a logistic curve in log(rate), steepest at 3e-3, and rises beyond 0.1."""
    rates = np.geomspace(1e-5, 1.0, 120).tolist()
    losses = [4 - 2 / (1 + (3e-3 / rate) ** 2) + 5 * max(0.0, math.log(rate / 0.1)) for rate in rates]
    found = suggest([Trial(rate, loss, loss) for rate, loss in zip(rates, losses, strict=True)])
    assert found == pytest.approx(3e-3, rel=0.25)


def test_rates_rise_until_the_loss_breaks_out() -> None:
    run = trial_steps(MODEL, 4, Execution(), CPU, TrainingConfig(outlier_factor=0.0, gradient_clip=0.0))
    trials = try_rates(run, 1e-4, 1e3, 60)
    rates = [trial.rate for trial in trials]
    assert rates == sorted(rates) and rates[0] == pytest.approx(1e-4)
    assert len(trials) < 60 or trials[-1].smooth <= BROKEN_OUT * min(trial.smooth for trial in trials)
    assert min(trial.smooth for trial in trials) < trials[0].smooth
    assert 1e-4 < suggest(trials) < 1.0


def test_the_rate_is_the_one_that_moves_the_weights() -> None:
    """One step at a rate is the step of an optimizer with that rate."""
    small, large = (
        trial_steps(MODEL, 4, Execution(), CPU, TrainingConfig(learning_rate=rate, weight_decay=0.0))
        for rate in (1e-3, 1.0)
    )
    for run in (small, large):
        try_rates(run, 2e-3, 2e-3 + 1e-12, 1)
    for ours, theirs in zip(small.model.parameters(), large.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
