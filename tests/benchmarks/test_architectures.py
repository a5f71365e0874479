"""The benchmark of architectures: models of one size, each at a rate of its own, for the same time."""

import json
from argparse import Namespace
from typing import Any

import architectures
import pytest

from homespun.models.arithmetic import parameter_count


def test_the_models_are_of_one_size() -> None:
    sizes = [parameter_count(architectures.shape_of(name)) for name in architectures.SIDES]
    assert max(sizes) <= (1 + architectures.MOST_APART) * min(sizes), sizes


def test_rates_are_those_of_plans() -> None:
    """An LSTM wants a higher one than a decoder, and a wider model a lower one."""
    rates = {name: architectures.rate_of(name, 1.0) for name in architectures.SIDES}
    assert rates["gpt"] == rates["rwkv"] < rates["lstm"]
    words = architectures.options_of("lstm", 2, 0.5)
    assert float(words[words.index("--training.learning-rate") + 1]) == pytest.approx(rates["lstm"] / 2)
    assert words[words.index("--training.seed") + 1] == "2"
    assert "--model.tied-embeddings" in architectures.options_of("rwkv", 1, 1.0)


def test_who_has_less_time_to_train_is_given_more(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"gpt": 270.0, "lstm": 285.0, "rwkv": 282.0}

    def planned(words: list[str], environment: dict[str, str]) -> str:
        assert "--plan" in words
        side = words[words.index("--model.architecture") + 1]
        return json.dumps({"expected": {"training_seconds": seconds[side]}})

    monkeypatch.setattr(architectures, "homespun", planned)
    options = Namespace(data=["text"], minutes=5.0, only=list(seconds))
    assert architectures.minutes_by_side(options, {}) == pytest.approx({"gpt": 5.25, "lstm": 5.0, "rwkv": 5.05})


def test_the_table_has_a_line_for_each_rate_and_warns_of_unequal_times() -> None:
    def run(name: str, factor: float, seconds: float) -> dict[str, Any]:
        return {
            "name": name, "seed": 1, "factor": factor, "minutes": 5.0, "bits_per_byte": 2.0, "parameters": 5e6,
            "tokens_seen": 1e6, "seconds_training": seconds, "tokens_per_second": 1e4, "epochs": 2.0,
        }  # fmt: skip

    runs = [run(name, factor, 280) for name in ("gpt", "lstm") for factor in (1.0, 2.0)]
    rows = architectures.rows_of(runs, Namespace(only=["gpt", "lstm"], rates=[1.0, 2.0]))
    assert [row[0] for row in rows] == ["gpt", "gpt", "lstm", "lstm"]
    assert architectures.warnings_of(runs) == []
    assert "280 to 300 seconds" in architectures.warnings_of([*runs, run("rwkv", 1.0, 300)])[0]
