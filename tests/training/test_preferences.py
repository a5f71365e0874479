"""Direct preference optimization against the naive formula, text by text; at the beginning it is ln 2."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.batches.preferences import PreferenceRows
from homespun.models.registry import build_model
from homespun.models.settings import GPTConfig, PreferredConfig
from homespun.training.losses import Objective
from homespun.training.optimizer import build_optimizer
from homespun.training.preferences import Preferences, answer_log_probabilities
from homespun.training.settings import TrainingConfig
from tests.batches.test_conversation_batches import TOKENIZER, rows_in

BODY = GPTConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=64, layers=2, width=32, heads=2)
CONFIG = PreferredConfig(body=BODY, beta=0.3)
TALKS = [
    [("user", question), ("assistant", said)]
    for question, better, worse in (("hello", "yes", "no, never"), ("a?", "b", "c"), ("why", "because of that", "so"))
    for said in (better, worse)
]


def built(config: PreferredConfig = CONFIG, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    return build_model(config).eval()


def naive_log_probability(model: Any, ids: np.ndarray, learned: np.ndarray) -> float:
    """One text, one token at a time."""
    with torch.inference_mode():
        chances = model(torch.from_numpy(ids[None]))[0].double().log_softmax(-1)
    return sum(float(chances[place - 1, ids[place]]) for place in range(1, len(ids)) if learned[place])


def pairs(tmp_path: Path, reference: np.ndarray | None = None) -> PreferenceRows:
    rows = rows_in(tmp_path / "rows", talks=TALKS)
    return PreferenceRows(rows, np.zeros((3, 2)) if reference is None else reference)


def test_log_probabilities_are_sums_over_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, model = pairs(tmp_path), built().body
    wanted = [naive_log_probability(model, *found.rows.row(number)) for number in range(6)]
    for at_once in (1 << 24, 3 * model.config.vocabulary_size):
        monkeypatch.setattr("homespun.training.preferences.LOGITS_AT_ONCE", at_once)
        told = answer_log_probabilities(model, found.batch(np.arange(3)))
        torch.testing.assert_close(told.flatten().tolist(), wanted, rtol=1e-4, atol=1e-4)


def test_at_the_beginning_the_loss_is_ln_2_and_nothing_is_preferred(tmp_path: Path) -> None:
    found, model = pairs(tmp_path), built()
    with torch.no_grad():
        reference = answer_log_probabilities(model.body, found.batch(np.arange(3))).numpy()
        total, count, margins, rights = Preferences().loss(model, pairs(tmp_path, reference).batch(np.arange(3)))
    assert float(total / count) == pytest.approx(math.log(2), abs=1e-7)
    assert int(count) == 3 and float(margins) == 0 and int(rights) == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_it_is_the_published_formula(smoothing: float, tmp_path: Path) -> None:
    config = replace(CONFIG, preference_smoothing=smoothing)
    base, model = built(config, seed=1), built(config, seed=2)
    rows = pairs(tmp_path)
    now, before = (
        np.array([naive_log_probability(one.body, *rows.rows.row(number)) for number in range(6)]).reshape(3, 2)
        for one in (model, base)
    )
    # TRL's DPOTrainer, loss_type "sigmoid": the log-ratios of policy and reference, their difference, cDPO's smoothing.
    logits = (now[:, 0] - now[:, 1]) - (before[:, 0] - before[:, 1])
    sharp, turned = np.log1p(np.exp(-0.3 * logits)), np.log1p(np.exp(0.3 * logits))
    batch = pairs(tmp_path, before).batch(np.arange(3))
    with torch.no_grad():
        total, count, margins, rights = Preferences().loss(model, batch)
        in_training, *_ = Preferences().loss(model.train(), batch)
    assert float(total) == pytest.approx(sharp.sum(), rel=1e-3) and int(count) == 3
    assert float(in_training) == pytest.approx(((1 - smoothing) * sharp + smoothing * turned).sum(), rel=1e-3)
    assert float(margins) == pytest.approx(0.3 * logits.sum(), rel=1e-3, abs=1e-4)
    assert int(rights) == (logits > 0).sum()


def test_pairs_that_fill_up_for_other_processes_count_nothing(tmp_path: Path) -> None:
    batch, model = pairs(tmp_path, np.ones((3, 2))).batch(np.arange(3)), built()
    with torch.no_grad():
        whole = [float(one) for one in Preferences().loss(model, batch)]
        shared = [Preferences().loss(model, batch.share(rank, 2)) for rank in range(2)]
    assert [sum(float(one) for one in column) for column in zip(*shared, strict=True)] == pytest.approx(whole, rel=1e-5)


def test_the_margin_rises(tmp_path: Path) -> None:
    model = built()
    with torch.no_grad():
        reference = answer_log_probabilities(model.body, pairs(tmp_path).batch(np.arange(3))).numpy()
    batch = pairs(tmp_path, reference).batch(np.arange(3))
    optimizer = build_optimizer(model, TrainingConfig(learning_rate=1e-3, optimizer="adamw", precision="fp32"))
    objective = Objective(model, Preferences())
    losses = []
    for _ in range(20):
        total, count, margins, rights = objective(batch)
        losses.append(float(total.detach() / count))
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5) and losses[-1] < 0.3
    assert float(margins) > 3 and int(rights) == 3
