"""How to train, as a frozen dataclass: what a user can write under ``[training]``. Imports no torch."""

from dataclasses import dataclass, field
from typing import Literal

from homespun.common.errors import UsageError

Parallel = Literal["replicated", "sharded", "hybrid", "tensor"]


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. A step is one update of the weights."""

    steps: int = field(default=1000, metadata={"help": "updates of the weights"})
    batch_size: int = field(default=16, metadata={"help": "windows of model.context tokens in one step"})
    micro_batch_size: int = field(
        default=0, metadata={"help": "windows computed at once, gradients are summed up (0: the whole batch)"}
    )
    learning_rate: float = field(default=3e-3, metadata={"help": "the highest rate of the schedule"})
    schedule: Literal["trapezoid", "cosine", "noam"] = field(
        default="trapezoid", metadata={"help": "how the rate moves"}
    )
    warmup_steps: int = field(default=50, metadata={"help": "steps in which the rate rises from 0"})
    decay_fraction: float = field(default=0.4, metadata={"help": "last share of the steps, in which the rate falls"})
    final_rate_fraction: float = field(default=0.02, metadata={"help": "rate of the last step / highest rate"})
    weight_decay: float = field(default=0.1, metadata={"help": "decoupled decay of matrices, per unit of rate"})
    optimizer: Literal["adamw", "muon"] = field(
        default="muon", metadata={"help": "adamw, or muon for hidden matrices and AdamW for the rest"}
    )
    momentum: float = field(default=0.9, metadata={"help": "Muon's memory of the gradient"})
    orthogonal_rounds: int = field(
        default=5, metadata={"help": "rounds of Muon's polynomial, 1 to 5: fewer are faster and less exact"}
    )
    beta1: float = field(default=0.9, metadata={"help": "AdamW's memory of the gradient"})
    beta2: float = field(default=0.95, metadata={"help": "AdamW's memory of the squared gradient"})
    gradient_clip: float = field(default=1.0, metadata={"help": "largest norm of the whole gradient (0: no limit)"})
    precision: Literal["auto", "fp32", "bf16"] = field(
        default="auto", metadata={"help": "auto: the faster one, measured on this machine"}
    )
    attention: Literal["auto", "fused", "explicit"] = field(
        default="auto", metadata={"help": "attention kernel; auto: the faster one, measured on this machine"}
    )
    compile: Literal["auto", "on", "off"] = field(
        default="auto", metadata={"help": "compile steps; auto: where it is faster and the run long enough to repay it"}
    )
    recompute: bool = field(
        default=False, metadata={"help": "work activations out again in backward: a third more work, far less memory"}
    )
    parallel: Parallel = field(
        default="replicated",
        metadata={"help": "under torchrun: in each process the whole model, shares of it, or a part of each block"},
    )
    shard_size: int = field(default=8, metadata={"help": "processes that share one model, with parallel = hybrid"})
    tensor_size: int = field(
        default=0, metadata={"help": "processes that divide every block, with parallel = tensor (0: all)"}
    )
    workers: int = field(default=0, metadata={"help": "threads that make batches ahead (0: made when needed)"})
    device: str = field(default="auto", metadata={"help": "cpu, cuda, cuda:1 …; auto: a GPU where there is one"})
    threads: int = field(default=0, metadata={"help": "processor threads (0: one per core)"})
    outlier_factor: float = field(
        default=20.0, metadata={"help": "skip steps whose gradient is so many times larger than usual (0: never)"}
    )
    average_decay: float = field(
        default=0.0,
        metadata={"help": "memory of an average of the weights that replaces them at the end (0: none)"},
    )
    keep: Literal["last", "best"] = field(
        default="last",
        metadata={"help": "weights kept at the end: the last, or those of the evaluation with the lowest loss (best)"},
    )
    patience: int = field(
        default=0, metadata={"help": "end after so many evaluations in a row without a lower loss (0: never)"}
    )
    seed: int = field(default=1, metadata={"help": "of the weights, the order of the data and dropout"})
    evaluate_every: int = field(default=200, metadata={"help": "steps between exact validation losses"})
    sample_every: int = field(default=400, metadata={"help": "steps between samples (0: only at the end)"})
    log_every: int = field(default=10, metadata={"help": "steps between lines of metrics.jsonl"})
    sinks: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = field(
        default=(), metadata={"help": "where metrics also go: tensorboard, trackio, wandb (pip install them)"}
    )
    checkpoint_seconds: float = field(default=30.0, metadata={"help": "seconds between checkpoints"})
    keep_checkpoints: int = field(default=2, metadata={"help": "how many of the newest checkpoints stay"})

    def __post_init__(self) -> None:
        for key, least in (
            ("steps", 1),
            ("batch_size", 1),
            ("evaluate_every", 1),
            ("log_every", 1),
            ("keep_checkpoints", 1),
            ("micro_batch_size", 0),
            ("warmup_steps", 0),
            ("sample_every", 0),
            ("threads", 0),
            ("seed", 0),
            ("gradient_clip", 0),
            ("weight_decay", 0),
            ("checkpoint_seconds", 0),
            ("outlier_factor", 0),
            ("workers", 0),
            ("patience", 0),
            ("shard_size", 1),
            ("tensor_size", 0),
        ):
            if not getattr(self, key) >= least:
                raise UsageError(f"training.{key} is {getattr(self, key)}; it must be at least {least}")
        if not 1 <= self.orthogonal_rounds <= 5:
            raise UsageError(f"training.orthogonal_rounds is {self.orthogonal_rounds}; it must lie between 1 and 5")
        if self.seed >= 1 << 64:
            raise UsageError(f"training.seed is {self.seed}; it must be below 2^64")
        if not self.learning_rate > 0:
            raise UsageError(f"training.learning_rate is {self.learning_rate}; it must be above 0")
        for key in ("decay_fraction", "final_rate_fraction", "momentum", "beta1", "beta2", "average_decay"):
            if not 0 <= getattr(self, key) <= 1:
                raise UsageError(f"training.{key} is {getattr(self, key)}; it must lie between 0 and 1")
        if self.keep not in ("last", "best"):
            raise UsageError(f"training.keep is {self.keep!r}; choose last or best")
        if self.keep == "best" and self.average_decay:
            raise UsageError("training.keep is best and training.average_decay is set: either of them, not both")
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise UsageError(
                f"training.batch_size {self.batch_size} is not a multiple of "
                f"training.micro_batch_size {self.micro_batch_size}"
            )

    def parts_of_block(self, processes: int) -> int:
        """Among how many of the processes every block is divided; they are given the same rows."""
        return min(self.tensor_size or processes, processes) if self.parallel == "tensor" else 1
