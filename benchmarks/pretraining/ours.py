"""Our side: token shards and a model configuration in, a curve out; the product's own loop and defaults.

AdamW and schedule are ``TrainingConfig``'s defaults; the highest rate and the warm-up are what
``homespun build`` would choose for this width and number of steps (``learning_rate_for``; a twentieth of
the steps, between 5 and 100). Precision is measured as ``homespun train`` measures it, before the clock runs.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from homespun.batches.next_token import NextTokenBatches, validation_batches
from homespun.batches.shards import TokenShards, read_manifest
from homespun.models.arithmetic import parameter_count
from homespun.models.registry import build_model
from homespun.models.settings import GPTConfig
from homespun.pipeline.planning import MEASURED_TOKENS
from homespun.pipeline.train_stage import VALIDATION_TOKENS_AT_ONCE, be_deterministic
from homespun.training.budget import learning_rate_for
from homespun.training.checkpoint import TrainingState
from homespun.training.device import set_threads
from homespun.training.loop import TrainingRun, train
from homespun.training.losses import NextToken
from homespun.training.machine import faster_precision
from homespun.training.optimizer import build_optimizer
from homespun.training.pace import FixedPace
from homespun.training.settings import TrainingConfig
from homespun.training.validation import ExactLoss, exact_loss
from pretraining.curve import BATCH_SIZE, CONTEXT, HEADS, LAYERS, WIDTH, Curve, make_curve

NEVER = 1e9  # seconds between checkpoints: nanoGPT's are outside its clock, so ours are left out
PROCESSOR = torch.device("cpu")


@dataclass(frozen=True)
class Job:
    """One run, in words that travel to another process."""

    shards: Path
    parts: str
    vocabulary_size: int
    steps: int
    interval: int
    precision: str
    threads: int
    seed: int


@dataclass
class Stopwatch:
    """Watches the loop: when each step was done, and every exact loss."""

    stamp: float = float("nan")
    step_seconds: list[float] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)

    def trained(self, record: dict[str, Any], state: TrainingState) -> None:
        now = time.perf_counter()
        self.step_seconds.append(now - self.stamp)  # not a number for the first step, which does not count
        self.stamp = now

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        self.losses[state.step] = loss.loss

    def sampled(self, state: TrainingState) -> None:
        """Nothing is sampled here."""


def model_config(parts: str, vocabulary_size: int) -> GPTConfig:
    """``nanogpt``: the parts that nanoGPT has, hence as many parameters; ``default``: ours (Qwen3's)."""
    sizes = {
        "vocabulary_size": vocabulary_size, "context": CONTEXT, "layers": LAYERS, "width": WIDTH, "heads": HEADS,
    }  # fmt: skip
    if parts == "default":
        return GPTConfig(**sizes)
    return GPTConfig(
        **sizes,
        positions="learned",
        normalization="layer",
        norm_epsilon=1e-5,
        feedforward="gelu",
        biases=False,
        query_key_norm=False,
        tied_embeddings=True,
    )


def choose_precision(parts: str, vocabulary_size: int, threads: int) -> str:
    """The faster of fp32 and bf16 for this model here, found as ``homespun train`` finds it."""
    set_threads(threads)
    be_deterministic(PROCESSOR)
    return faster_precision(model_config(parts, vocabulary_size), MEASURED_TOKENS // CONTEXT, PROCESSOR)


def train_ours(job: Job) -> Curve:
    """One whole run in this process."""
    set_threads(job.threads)
    torch.manual_seed(job.seed)
    be_deterministic(PROCESSOR)
    config = model_config(job.parts, job.vocabulary_size)
    training = TrainingConfig(
        steps=job.steps,
        batch_size=BATCH_SIZE,
        learning_rate=learning_rate_for(WIDTH),
        warmup_steps=min(100, max(5, job.steps // 20)),
        threads=job.threads,
        seed=job.seed,
        device="cpu",
        evaluate_every=job.interval,
        sample_every=0,
        log_every=1,
        checkpoint_seconds=NEVER,
    )
    model, task, watch = build_model(config), NextToken(), Stopwatch()
    text_bytes = read_manifest(job.shards)["splits"]["validation"]["bytes"]

    def validate(_precision: str) -> ExactLoss:
        windows = validation_batches(
            TokenShards(job.shards, "validation"), CONTEXT, VALIDATION_TOKENS_AT_ONCE // CONTEXT
        )
        return exact_loss(model, task, windows, text_bytes, PROCESSOR, "fp32")  # as nanoGPT's are computed

    batches = NextTokenBatches(TokenShards(job.shards, "train"), CONTEXT, BATCH_SIZE, job.seed)
    train(
        TrainingRun(
            model=model,
            optimizer=build_optimizer(model, training),
            task=task,
            batch=batches.batch,
            validate=validate,
            save=lambda _state: None,
            config=training,
            pace=FixedPace(),
            observer=watch,
            device=PROCESSOR,
            state=TrainingState(0, job.steps, 0, 0.0, job.threads, job.precision),
        )
    )
    return make_curve(watch.step_seconds, watch.losses, job.interval, parameter_count(config), job.precision, job.seed)
