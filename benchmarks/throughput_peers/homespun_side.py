"""Ours: the product's own loop (``homespun.training.loop.train``) with the step that a real run has.

AdamW, clipping, the guard against bad steps and a line of metrics every ten steps included; checkpoints, evaluations
and samples left out, as in the other programs.
"""

from dataclasses import fields
from typing import Any

import torch

from homespun import __version__
from homespun.batches.batch import Batch
from homespun.models.arithmetic import parameter_count
from homespun.models.settings import GPTConfig
from homespun.pipeline.assemble import be_deterministic
from homespun.training.execution import Execution
from homespun.training.loop import TrainingRun
from homespun.training.loop import train as run_loop
from homespun.training.machine import trial_steps
from homespun.training.pace import FixedPace
from homespun.training.settings import TrainingConfig
from throughput_peers.side import Built
from throughput_peers.stopwatch import Stopwatch
from throughput_peers.work import Shape, Work

NEVER = 1 << 60
GPT2_PARTS: dict[str, Any] = {
    "positions": "learned", "normalization": "layer", "norm_epsilon": 1e-5, "feedforward": "gelu",
    "query_key_norm": False,
}  # fmt: skip


class Nobody:
    """Observes nothing and saves nothing."""

    def trained(self, *_: object) -> None: ...
    def skipped(self, *_: object) -> None: ...


def model_config(shape: Shape, parts: str) -> GPTConfig:
    """``gpt2``: the parts that nanoGPT has, hence as many weights; ``default``: ours (Qwen3's)."""
    return GPTConfig(
        vocabulary_size=shape.vocabulary_size,
        context=shape.context,
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        **(GPT2_PARTS if parts == "gpt2" else {}),
    )


def build(work: Work) -> Built:
    """A run as ``homespun.training.machine`` measures it, but with the watch's batches and the whole loop."""
    device, way = torch.device(work.device), work.way
    be_deterministic(device)
    config = model_config(work.shape, way.parts)
    execution = Execution(way.precision, way.attention, way.compiled, threads=work.threads)
    training = TrainingConfig(
        optimizer="adamw", learning_rate=6e-4, evaluate_every=NEVER, sample_every=0, checkpoint_seconds=float("inf")
    )
    steps = trial_steps(config, work.shape.batch_size, execution, device, training)
    steps.state.total = NEVER

    def train(watch: Stopwatch) -> None:
        def batch(_number: int) -> Batch:
            ids = watch.batch()
            return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())

        nobody: Any = Nobody()
        parts = {name.name: getattr(steps, name.name) for name in fields(steps)} | {"batch": batch}
        run_loop(TrainingRun(**parts, validate=nobody, saver=nobody, restore=nobody, pace=FixedPace(), observer=nobody))

    return Built(__version__, parameter_count(config), train)
