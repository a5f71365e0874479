"""Estimates on paper, against what was published."""

from dataclasses import replace

import pytest

from homespun.common.errors import UsageError
from homespun.models.arithmetic import matrix_parameters, parameter_count
from homespun.models.settings import GPTConfig, LSTMConfig, ModelConfig
from homespun.training.estimate import (
    GPU,
    GPUS,
    USABLE_MEMORY,
    Cluster,
    estimate,
    layout,
    named_gpu,
    shares_by_layout,
    tokens_per_second,
)
from homespun.training.memory import training_memory
from homespun.training.parallel import PARALLEL
from homespun.training.settings import TrainingConfig

GPT3 = GPTConfig(
    vocabulary_size=50257,
    context=2048,
    layers=96,
    width=12288,
    heads=96,
    feedforward="gelu",
    positions="learned",
    normalization="layer",
    biases=True,
    query_key_norm=False,
)
FP32 = TrainingConfig(precision="fp32")


def small(**parts: object) -> GPTConfig:
    return GPTConfig(**({"vocabulary_size": 512, "context": 32, "layers": 3, "width": 256, "heads": 4} | parts))


def test_gpt3_costs_what_was_published() -> None:
    """Brown et al. 2020, appendix D; Lambda's "technical overview" of GPT-3, 2020: 355 years of a V100, $4,600,000."""
    cluster = Cluster(1, named_gpu("V100", 28.0, None), utilization=1.0, price_per_hour=1.5)
    result = estimate(GPT3, TrainingConfig(), cluster, 300e9)
    assert result.parameters == pytest.approx(175e9, rel=0.005)
    assert result.rule_of_thumb_flops == pytest.approx(3.14e23, rel=0.005)
    # The published figures are those of 6 N D; counting attention adds 1.4 %.
    assert result.flops == pytest.approx(3.14e23, rel=0.02) and result.flops > result.rule_of_thumb_flops
    assert result.seconds * result.rule_of_thumb_flops / result.flops == pytest.approx(355 * 365.25 * 86400, rel=0.005)
    assert result.price == pytest.approx(4.6e6, rel=0.035)
    assert result.seconds == result.flops / 28e12
    assert all(one.micro_batch == 0 for one in result.layouts)


def test_more_gpus_take_less_time_for_the_same_price() -> None:
    one, many = (estimate(small(), FP32, Cluster(gpus, price_per_hour=2.0), 1e9) for gpus in (1, 64))
    assert one.seconds == pytest.approx(64 * many.seconds) and one.price == pytest.approx(many.price)
    assert estimate(small(), FP32, Cluster()).tokens == 20 * one.parameters
    recomputed = tokens_per_second(small(), replace(FP32, recompute=True), Cluster())
    assert recomputed == pytest.approx(tokens_per_second(small(), FP32, Cluster()) * 3 / 4)


def test_shares_add_up_to_the_whole() -> None:
    training = TrainingConfig(shard_size=8)
    assert shares_by_layout(training, 32) == {"replicated": 1, "sharded": 32, "hybrid": 8, "tensor": 1}
    assert shares_by_layout(training, 4)["hybrid"] == 4
    whole, share = (training_memory(GPT3, training, 1, shares) for shares in (1, 32))
    for name in ("weights", "gradients", "moments"):
        assert getattr(share, name) * 32 == getattr(whole, name)
    assert (share.activations, share.loss) == (whole.activations, whole.loss)
    assert whole.gathered == 0 < share.gathered < whole.weights


def test_divided_blocks_hold_a_part_of_each_and_all_embeddings() -> None:
    layouts = {one.name: one for one in estimate(GPT3, TrainingConfig(), Cluster(32)).layouts}
    whole, part = layouts["replicated"].memory, layouts["tensor"].memory
    blocks, rest = matrix_parameters(GPT3), parameter_count(GPT3) - matrix_parameters(GPT3)
    assert part.weights == part.gradients == pytest.approx(4 * (blocks / 32 + rest), rel=5e-3)
    assert part.moments == pytest.approx(4 * (blocks / 32 + 2 * rest), rel=5e-3)
    assert part.loss == whole.loss and part.gathered == 0
    assert whole.activations / 32 < part.activations < whole.activations / 2  # the residual stream is not divided
    assert part.total < whole.total
    eight = {one.name: one for one in estimate(GPT3, TrainingConfig(tensor_size=8), Cluster(32)).layouts}
    assert part.weights < eight["tensor"].memory.weights < whole.weights / 7
    assert eight["tensor"].memory.gathered > 0  # groups average their gradients


@pytest.mark.parametrize(
    "model", [small(key_value_heads=2), small(heads=8, head_width=32), small(experts=4), LSTMConfig(context=32)]
)
def test_what_cannot_be_divided_has_no_such_layout(model: ModelConfig) -> None:
    names = [one.name for one in estimate(model, FP32, Cluster(3)).layouts]
    assert names == ["replicated", "sharded", "hybrid"]


@pytest.mark.parametrize("shares", [1, 4])
@pytest.mark.parametrize("memory_gb", [0.01, 0.3, 16, 141])
def test_the_micro_batch_is_the_last_that_fits(memory_gb: float, shares: int) -> None:
    config, cluster = small(context=128), Cluster(4, GPU(100.0, memory_gb))
    found = layout("any", config, FP32, cluster, shares)
    usable = memory_gb * 1e9 * USABLE_MEMORY
    assert training_memory(config, FP32, found.micro_batch + 1, shares, gpu=True).total > usable
    if found.micro_batch:
        assert training_memory(config, FP32, found.micro_batch, shares, gpu=True).total <= usable
    assert (found.micro_batch == 0) == (memory_gb == 0.01)


def test_what_is_written_twice_is_the_same() -> None:
    assert list(shares_by_layout(TrainingConfig(), 2)) == list(PARALLEL)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: named_gpu("tpu", None, None), "--gpu tpu is not known; choose v100"),
        (lambda: Cluster(gpus=0), "--gpus is 0"),
        (lambda: Cluster(utilization=0), "--utilization is 0"),
        (lambda: Cluster(utilization=1.2), "--utilization is 1.2"),
        (lambda: Cluster(utilization=float("nan")), "--utilization is nan"),
        (lambda: Cluster(price_per_hour=-1), "--price-per-hour is -1"),
        (lambda: Cluster(gpu=GPU(0, 80)), "--gpu-tflops is 0"),
        (lambda: Cluster(gpu=GPU(100, float("inf"))), "--gpu-memory-gb is inf"),
    ],
)
def test_impossible_clusters_are_refused(make, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_named_gpus_take_figures_of_ones_own() -> None:
    assert named_gpu("H100", None, None) == GPUS["h100"]
    assert named_gpu("h100", 500.0, None) == GPU(500.0, GPUS["h100"].memory_gb)
    assert named_gpu("h100", None, 94.0) == GPU(GPUS["h100"].tflops, 94.0)
