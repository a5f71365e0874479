"""The loss, the exact validation, AdamW, precision and interruption, each against its definition."""

import math
import os
import signal
import threading
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from homespun.batches.batch import IGNORED, Batch
from homespun.common.errors import UsageError
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.training.interruption import Interruption
from homespun.training.losses import NextToken, Objective
from homespun.training.optimizer import build_optimizer
from homespun.training.precision import autocast
from homespun.training.settings import TrainingConfig
from homespun.training.validation import exact_loss

CPU = torch.device("cpu")
CONFIG = GPTConfig(vocabulary_size=30, context=9, layers=2, width=16, heads=2, biases=True, normalization="layer")


def model_of(seed: int = 0, **changes: object) -> GPT:
    torch.manual_seed(seed)
    return GPT(GPTConfig(**(CONFIG.__dict__ | changes)))


def batch_of(rows: int, seed: int = 1, ignored: float = 0.0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(30, (rows, 10), generator=generator)
    targets = tokens[:, 1:].clone()
    targets[torch.rand(targets.shape, generator=generator) < ignored] = IGNORED
    return Batch(tokens[:, :-1], targets)


def naive_nats(model: nn.Module, batch: Batch) -> list[float]:
    """One target at a time: minus the logarithm of its probability."""
    nats = []
    for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
        for place, target in enumerate(targets.tolist()):
            if target != IGNORED:
                logits = model(inputs[None, : place + 1])[0, -1].double()
                nats.append(float(logits.logsumexp(0) - logits[target]))
    return nats


@torch.no_grad()
@pytest.mark.parametrize("ignored", [0.0, 0.4, 1.0])
def test_next_token_is_the_sum_over_counted_targets(ignored: float) -> None:
    model, batch = model_of(), batch_of(3, ignored=ignored)
    total, count = NextToken().loss(model, batch)
    nats = naive_nats(model, batch)
    assert int(count) == len(nats)
    assert float(total) == pytest.approx(sum(nats), rel=1e-5)


def test_exact_loss_is_the_naive_mean_over_all_targets_of_all_batches() -> None:
    """Batches of different sizes: a mean of means would be wrong here."""
    model = model_of(dropout=0.5).train()
    batches = [batch_of(4, seed=1), batch_of(1, seed=2, ignored=0.7), batch_of(2, seed=3, ignored=0.2)]
    model.eval()
    with torch.no_grad():
        nats = [value for batch in batches for value in naive_nats(model, batch)]
    model.train()
    objective = Objective(model, NextToken()).train()
    found = exact_loss(objective, iter(batches), 123, CPU, "fp32")
    assert found.tokens == len(nats)
    assert found.loss == pytest.approx(sum(nats) / len(nats), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(sum(nats) / math.log(2) / 123, rel=1e-6)
    assert model.training and objective.training  # as it was; and dropout was off, or the figures would differ


def test_exact_loss_leaves_random_numbers_and_gradients_alone() -> None:
    model = model_of(dropout=0.5).eval()
    objective = Objective(model, NextToken()).eval()
    state = torch.get_rng_state()
    first = exact_loss(objective, [batch_of(2)], 20, CPU, "fp32")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training
    assert exact_loss(objective, [batch_of(2)], 20, CPU, "fp32") == first


def test_a_model_that_knows_nothing_costs_the_logarithm_of_the_vocabulary() -> None:
    model = model_of()
    nn.init.zeros_(model.head.weight)
    found = exact_loss(Objective(model, NextToken()), [batch_of(5)], 45, CPU, "fp32")
    assert found.loss == pytest.approx(math.log(30), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(math.log2(30), rel=1e-6)  # 45 targets over 45 bytes


def test_bf16_changes_the_loss_a_little_and_the_weights_not_at_all() -> None:
    model = model_of()
    exact = exact_loss(Objective(model, NextToken()), [batch_of(4)], 36, CPU, "fp32").loss
    mixed = exact_loss(Objective(model, NextToken()), [batch_of(4)], 36, CPU, "bf16").loss
    assert mixed != exact
    assert mixed == pytest.approx(exact, rel=0.02)
    with autocast(CPU, "bf16"):
        assert model(batch_of(1).inputs).dtype == torch.bfloat16
        total, _ = NextToken().loss(model, batch_of(2))
    assert total.dtype == torch.float32
    total.backward()
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}
    with autocast(CPU, "fp32"):
        assert model(batch_of(1).inputs).dtype == torch.float32


def steps(step: Callable[[float], None], model: nn.Module, count: int) -> None:
    """Gradients of real batches; ``step`` gets the rate's share of the highest."""
    for number in range(count):
        total, targets = NextToken().loss(model, batch_of(2, seed=number))
        (total / targets).backward()
        step(1 / (number + 1))
        model.zero_grad()


def test_our_adamw_is_the_published_rule() -> None:
    """Loshchilov & Hutter 2019, algorithm 2, written out; and PyTorch's plain loop."""
    config = TrainingConfig(optimizer="adamw", learning_rate=1e-2, weight_decay=0.3, beta1=0.8, beta2=0.9)
    ours, plain, by_hand = model_of(), model_of(), model_of()
    optimizers = build_optimizer(ours, config)

    def our_step(share: float) -> None:
        optimizers.set_share(share)
        optimizers.step()

    steps(our_step, ours, 5)
    groups = [
        {"params": [p for p in plain.parameters() if p.dim() >= 2], "weight_decay": 0.3},
        {"params": [p for p in plain.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=1e-2, betas=(0.8, 0.9), fused=False, foreach=False)

    def plain_step(share: float) -> None:
        for group in reference.param_groups:
            group["lr"] = 1e-2 * share
        reference.step()

    steps(plain_step, plain, 5)
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in by_hand.named_parameters()}
    for number in range(5):
        rate = 1e-2 / (number + 1)
        total, targets = NextToken().loss(by_hand, batch_of(2, seed=number))
        (total / targets).backward()
        with torch.no_grad():
            for name, p in by_hand.named_parameters():
                first, second = moments[name]
                first.mul_(0.8).add_(p.grad, alpha=0.2)
                second.mul_(0.9).addcmul_(p.grad, p.grad, value=0.1)
                p.mul_(1 - rate * (0.3 if p.dim() >= 2 else 0.0))
                upper, lower = first / (1 - 0.8 ** (number + 1)), second / (1 - 0.9 ** (number + 1))
                p.sub_(rate * upper / (lower.sqrt() + 1e-8))
                p.grad = None
    for (name, a), b, c in zip(ours.named_parameters(), plain.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_leaves(number: signal.Signals) -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with Interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), number)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="boom"), Interruption():
        raise ValueError("boom")
    assert signal.getsignal(signal.SIGTERM) == before


def test_in_another_thread_nothing_is_touched() -> None:
    seen: list[object] = []

    def use() -> None:
        with Interruption() as interruption:
            seen.append((signal.getsignal(signal.SIGINT), interruption.requested))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


@settings(deadline=None, max_examples=60)
@given(
    key=st.sampled_from(["steps", "batch_size", "evaluate_every", "log_every", "keep_checkpoints"]),
    value=st.integers(-5, 0),
)
def test_counts_below_1_are_refused(key: str, value: int) -> None:
    refused(lambda: TrainingConfig(**{key: value}), f"training.{key} is {value}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"learning_rate": 0.0}, "training.learning_rate"),
        ({"learning_rate": math.nan}, "training.learning_rate"),
        ({"weight_decay": -0.1}, "training.weight_decay"),
        ({"weight_decay": math.nan}, "training.weight_decay"),
        ({"beta1": 1.5}, "training.beta1"),
        ({"decay_fraction": -0.1}, "training.decay_fraction"),
        ({"decay_fraction": math.nan}, "training.decay_fraction"),
        ({"final_rate_fraction": 2.0}, "training.final_rate_fraction"),
        ({"batch_size": 6, "micro_batch_size": 4}, "not a multiple of training.micro_batch_size 4"),
        ({"gradient_clip": -1.0}, "training.gradient_clip"),
        ({"outlier_factor": math.nan}, "training.outlier_factor"),
        ({"average_decay": 1.01}, "training.average_decay"),
        ({"workers": -1}, "training.workers"),
        ({"shard_size": 0}, "training.shard_size"),
    ],
)
def test_bad_training_values_are_one_line(values: dict[str, object], says: str) -> None:
    refused(lambda: TrainingConfig(**values), says)  # type: ignore[arg-type]


def refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        make()
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
