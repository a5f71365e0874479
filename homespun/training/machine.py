"""What this machine is good at, found out by running real training steps for a few seconds.

``measure(...)`` times the very step that training will make, for a few model shapes, in fp32 and in
bf16, and gives tokens per second of each; the plan and the choice of precision rest on that.
"""

import statistics
import time
from dataclasses import dataclass

import torch

from homespun.batches.batch import Batch
from homespun.models.arithmetic import training_flops_per_token
from homespun.models.registry import build_model
from homespun.models.settings import GPTConfig
from homespun.training.losses import NextToken
from homespun.training.optimizer import build_optimizer
from homespun.training.precision import autocast
from homespun.training.settings import TrainingConfig

MEASURED_STEPS = 3


@dataclass(frozen=True)
class Speed:
    """One measured shape: training tokens per second, and operations per second that this means."""

    precision: str
    flops_per_token: float
    tokens_per_second: float

    @property
    def flops_per_second(self) -> float:
        return self.flops_per_token * self.tokens_per_second


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; a processor always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_step(config: GPTConfig, batch_size: int, precision: str, device: torch.device) -> Speed:
    """Median time of a few real steps (forward, backward, clipping, update) after one to warm up."""
    with torch.random.fork_rng(devices=[]):
        model = build_model(config).to(device)
        tokens = torch.randint(0, config.vocabulary_size, (batch_size, config.context), device=device)
    optimizer = build_optimizer(model, TrainingConfig(batch_size=batch_size))
    task, batch, times = NextToken(), Batch(tokens, tokens), []
    for _ in range(1 + MEASURED_STEPS):
        synchronize(device)
        started = time.perf_counter()
        with autocast(device, precision):
            total, count = task.loss(model, batch)
        (total / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        synchronize(device)
        times.append(time.perf_counter() - started)
    return Speed(precision, training_flops_per_token(config), tokens.numel() / statistics.median(times[1:]))


def faster_precision(config: GPTConfig, batch_size: int, device: torch.device) -> str:
    """bf16 where it is faster for this very model on this machine, else fp32."""
    speeds = [measure_step(config, batch_size, precision, device) for precision in ("fp32", "bf16")]
    return max(speeds, key=lambda speed: speed.tokens_per_second).precision
