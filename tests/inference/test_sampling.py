"""Sampling rules against their definitions, written out token by token."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import UsageError
from homespun.inference.sampling import Sampler, probabilities
from homespun.inference.settings import SamplingConfig

PLAIN = {"temperature": 1.0, "min_p": 0.0}
# Multiples of an eighth: equal logits happen, and sums of their exponentials do not hang on the last bit.
LOGITS = st.lists(st.integers(-64, 64).map(lambda n: n / 8), min_size=1, max_size=25)


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    """In doubles, by hand."""
    highest = max(logits)
    weights = [math.exp((logit - highest) / temperature) for logit in logits]
    return [weight / sum(weights) for weight in weights]


def ranked(values: list[float]) -> list[int]:
    """Ids from the highest value down; of equals the lowest id first."""
    return sorted(range(len(values)), key=lambda token: (-values[token], token))


def check(found: torch.Tensor, chances: list[float], kept: set[int]) -> None:
    """Exactly ``kept`` have a chance, in the proportions of ``chances``."""
    assert {int(token) for token in found.nonzero()} == kept
    total = sum(chances[token] for token in kept)
    expected = [chances[token] / total if token in kept else 0.0 for token in range(len(chances))]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-6)
    assert math.isclose(float(found.sum()), 1.0, abs_tol=1e-5)


@settings(deadline=None)
@given(logits=LOGITS, temperature=st.floats(0.3, 5.0))
def test_temperature_is_the_softmax_of_scaled_logits(logits: list[float], temperature: float) -> None:
    found = probabilities(torch.tensor(logits), SamplingConfig(temperature=temperature, min_p=0.0))
    check(found, softmax(logits, temperature), set(range(len(logits))))


@settings(deadline=None)
@given(logits=LOGITS, k=st.integers(1, 30))
def test_top_k_keeps_the_k_likeliest(logits: list[float], k: int) -> None:
    found = probabilities(torch.tensor(logits), SamplingConfig(**PLAIN, top_k=k))
    check(found, softmax(logits), set(ranked(logits)[:k]))


@settings(deadline=None)
@given(logits=LOGITS, p=st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_that_reaches_p(logits: list[float], p: float) -> None:
    chances, kept, reached = softmax(logits), set(), 0.0
    for token in ranked(logits):
        if reached >= p:
            break
        kept.add(token)
        reached += chances[token]
        if abs(reached - p) < 1e-5:
            return  # a border that rounding decides
    check(probabilities(torch.tensor(logits), SamplingConfig(**PLAIN, top_p=p)), chances, kept)


@settings(deadline=None)
@given(logits=LOGITS, p=st.floats(0.01, 0.99))
def test_min_p_keeps_what_is_near_the_likeliest(logits: list[float], p: float) -> None:
    chances = softmax(logits)
    if any(abs(chance / max(chances) - p) < 1e-5 for chance in chances):
        return
    kept = {token for token, chance in enumerate(chances) if chance >= p * max(chances)}
    check(probabilities(torch.tensor(logits), SamplingConfig(temperature=1.0, min_p=p)), chances, kept)


@settings(deadline=None)
@given(
    logits=LOGITS,
    temperature=st.floats(0.3, 3.0),
    k=st.integers(0, 20),
    min_p=st.floats(0, 1),
    top_p=st.floats(0.01, 1.0),
)
def test_all_rules_together_leave_a_distribution_around_the_likeliest(
    logits: list[float], temperature: float, k: int, min_p: float, top_p: float
) -> None:
    config = SamplingConfig(temperature=temperature, top_k=k, min_p=min_p, top_p=top_p)
    found = probabilities(torch.tensor(logits), config)
    assert math.isclose(float(found.sum()), 1.0, abs_tol=1e-5)
    assert found[ranked(logits)[0]] == found.max() > 0
    assert int((found > 0).sum()) <= (k or len(logits))


def test_rules_apply_in_the_order_that_the_settings_tell() -> None:
    """Top-k renormalizes before top-p: of 0.4, 0.3, 0.2, 0.1 the first two are 0.57 and 0.43."""
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    found = probabilities(logits, SamplingConfig(**PLAIN, top_k=2, top_p=0.55))
    assert found.tolist() == [1.0, 0.0, 0.0, 0.0]
    found = probabilities(logits, SamplingConfig(temperature=1.0, min_p=0.6, top_p=0.5))
    assert found.tolist() == [1.0, 0.0, 0.0, 0.0]


@settings(deadline=None)
@given(logits=LOGITS, seed=st.integers(0, 2**31))
def test_temperature_0_is_the_likeliest_token(logits: list[float], seed: int) -> None:
    config = SamplingConfig(temperature=0.0, seed=seed)
    assert Sampler(config).draw(torch.tensor(logits)) == ranked(logits)[0]
    assert probabilities(torch.tensor(logits), config)[ranked(logits)[0]] == 1.0


@pytest.mark.parametrize("temperature", [1e-3, 1e-10, 1e-38, 1e-45, 1e-300, 5e-324])
def test_the_smallest_temperatures_are_greedy_and_not_a_number_never_appears(temperature: float) -> None:
    logits, config = torch.tensor([-30.0, 11.0, 12.0, -200.0]), SamplingConfig(temperature=temperature)
    assert probabilities(logits, config).tolist() == [0.0, 0.0, 1.0, 0.0]
    assert Sampler(config).draw(logits) == 2


def test_logits_in_half_precision_are_read_in_single() -> None:
    logits = torch.randn(50, generator=torch.Generator().manual_seed(0)).bfloat16()
    config = SamplingConfig(temperature=0.7)
    torch.testing.assert_close(probabilities(logits, config), probabilities(logits.float(), config))


def test_draws_follow_the_probabilities() -> None:
    logits, config, draws = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5, -9.0]), SamplingConfig(temperature=1.0), 4000
    expected, sampler = probabilities(logits, config), Sampler(config)
    counts = torch.bincount(torch.tensor([sampler.draw(logits) for _ in range(draws)]), minlength=6)
    assert counts[5] == 0  # min-p has excluded it
    deviation = (expected * (1 - expected) / draws).sqrt()
    assert bool(((counts / draws - expected).abs() <= 4 * deviation).all())


@settings(deadline=None, max_examples=30)
@given(logits=LOGITS, seed=st.integers(0, 2**31), k=st.integers(0, 5))
def test_a_seed_gives_the_same_draws_whatever_else_is_drawn(logits: list[float], seed: int, k: int) -> None:
    config, values = SamplingConfig(seed=seed, top_k=k), torch.tensor(logits)
    first, second = Sampler(config), Sampler(config)
    drawn = [first.draw(values) for _ in range(10)]
    torch.rand(3)  # the global random numbers are not the sampler's
    again = [second.draw(values) for _ in range(10)]
    assert drawn == again
    assert all(float(probabilities(values, config)[token]) > 0 for token in drawn)


def test_another_seed_gives_other_draws() -> None:
    logits = torch.zeros(1000)
    draws = [tuple(Sampler(SamplingConfig(seed=seed)).draw(logits) for _ in range(1)) for seed in range(20)]
    assert len(set(draws)) > 15


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"temperature": -0.1}, "sampling.temperature"),
        ({"temperature": math.nan}, "sampling.temperature"),
        ({"top_k": -1}, "sampling.top_k"),
        ({"top_p": 0.0}, "sampling.top_p"),
        ({"top_p": 1.1}, "sampling.top_p"),
        ({"top_p": math.nan}, "sampling.top_p"),
        ({"min_p": -0.1}, "sampling.min_p"),
        ({"min_p": 1.1}, "sampling.min_p"),
        ({"min_p": math.nan}, "sampling.min_p"),
        ({"maximum_tokens": 0}, "sampling.maximum_tokens"),
        ({"seed": -1}, "sampling.seed"),
        ({"seed": 2**64}, "sampling.seed"),
        ({"stop": ("x", "")}, "sampling.stop"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(values: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        SamplingConfig(**values)  # type: ignore[arg-type]
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
