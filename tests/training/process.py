"""A process that trains a tiny model in a folder, put together as ``homespun.pipeline.train_stage`` does it."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from homespun.batches.batch import IGNORED, Batch
from homespun.models.registry import build_model
from homespun.models.settings import GPTConfig, ModelConfig
from homespun.training.average import WeightAverage
from homespun.training.best import BestWeights
from homespun.training.checkpoint import (
    Moving,
    TrainingState,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
)
from homespun.training.execution import Execution, apply_to_model
from homespun.training.guard import Guard
from homespun.training.loop import TrainingRun
from homespun.training.losses import NextToken, Objective, Task
from homespun.training.optimizer import build_optimizer
from homespun.training.pace import FixedPace
from homespun.training.saving import Saver
from homespun.training.settings import TrainingConfig
from homespun.training.validation import ExactLoss, exact_loss

CPU = torch.device("cpu")
MODEL = GPTConfig(vocabulary_size=32, context=8, layers=2, width=32, heads=2)
TRAINING = TrainingConfig(
    steps=14, batch_size=4, learning_rate=1e-2, warmup_steps=3, log_every=2, evaluate_every=5, sample_every=4,
    checkpoint_seconds=1e9, optimizer="adamw", precision="fp32", attention="fused", compile="off", threads=1,
)  # fmt: skip


def batch_number(number: int) -> Batch:
    """A pure function of the number; some targets do not count, in each row another share."""
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(32, (4, 9), generator=generator)
    targets = tokens[:, 1:].clone()
    targets[0, 3:] = IGNORED
    targets[2, ::2] = IGNORED
    return Batch(tokens[:, :-1], targets)


class Diary:
    """An observer that writes down what it sees."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.skips: list[dict[str, Any]] = []
        self.reasons: list[str] = []
        self.trained_at: list[int] = []
        self.validated_at: list[int] = []
        self.sampled_at: list[int] = []
        self.losses: list[float] = []
        self.final: ExactLoss | None = None
        self.back_at: list[int] = []

    @property
    def skipped_steps(self) -> list[int]:
        return [record["step"] for record in self.skips]

    def trained(self, record: dict[str, Any], state: TrainingState) -> None:
        self.records.append(record)
        self.trained_at.append(state.step)

    def skipped(self, record: dict[str, Any], state: TrainingState) -> None:
        self.skips.append(record)

    def rolled_back(self, reason: str, state: TrainingState) -> None:
        self.reasons.append(reason)
        self.back_at.append(state.step)

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        self.validated_at.append(state.step)
        self.losses.append(loss.loss)

    def concluded(self, loss: ExactLoss, state: TrainingState) -> None:
        self.validated_at.append(state.step)
        self.final = loss

    def sampled(self, state: TrainingState) -> None:
        self.sampled_at.append(state.step)


class Process:
    """Fresh objects, and in them the newest checkpoint of ``folder`` if there is one."""

    def __init__(
        self,
        folder: Path,
        tokenizer_file: Path,
        config: TrainingConfig = TRAINING,
        model: ModelConfig = MODEL,
        task: Task = NextToken(),
    ) -> None:
        torch.manual_seed(config.seed)
        self.folder, self.diary, self.warnings = folder, Diary(), list[str]()
        self.model = build_model(model)
        execution = Execution.of(config)
        apply_to_model(self.model, execution)
        self.optimizer, self.guard = build_optimizer(self.model, config), Guard(config.outlier_factor, CPU)
        self.average = WeightAverage(self.model, config.average_decay) if config.average_decay else None
        self.moving: dict[str, Moving] = {"optimizer": self.optimizer, "guard": self.guard}
        if self.average is not None:
            self.moving["average"] = self.average
        self.best = BestWeights(self.model) if config.keep == "best" else None
        if self.best is not None:
            self.moving["best"] = self.best
        objective = Objective(self.model, task)
        torch.manual_seed(12345 + len(list_checkpoints(folder)))  # no random number of this process may count
        documents = {"config.json": asdict(model), "made_with.json": {}}
        self.saver = Saver(
            folder, self.model, self.moving, documents, tokenizer_file, config.keep_checkpoints, self.warnings.append
        )
        self.run = TrainingRun(
            model=self.model,
            objective=objective,
            optimizer=self.optimizer,
            guard=self.guard,
            batch=batch_number,
            config=config,
            device=CPU,
            state=self.restore() or TrainingState(0, config.steps, 0, 0.0, execution),
            validate=lambda precision: exact_loss(objective, [batch_number(999)], 32, CPU, precision),
            saver=self.saver,
            restore=self.restore,
            pace=FixedPace(),
            observer=self.diary,
            average=self.average,
            best=self.best,
        )

    def restore(self) -> TrainingState | None:
        found = newest_checkpoint(self.folder, self.warnings.append)
        return load_checkpoint(found, self.model, self.moving) if found else None

    def stop_at(self, step: int) -> "Process":
        self.run.stop_requested = lambda: self.run.state.step >= step
        return self

    def everything(self) -> dict[str, torch.Tensor]:
        """Copies of all that a checkpoint holds: weights, moments, counters, averages."""
        tensors = {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}
        for part, thing in self.moving.items():
            tensors |= {f"{part}/{name}": tensor.clone() for name, tensor in thing.tensors().items()}
        return tensors


class SpoiledAt:
    """Next-token prediction whose loss goes through ``spoil`` where ``when(step)`` says so."""

    def __init__(self, spoil: Callable[[torch.Tensor], torch.Tensor], when: Callable[[TrainingState], bool]) -> None:
        self.spoil = spoil
        self.when = when
        self.process: Process | None = None

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        total, count = NextToken().loss(model, batch)
        spoiled = self.process is not None and model.training and self.when(self.process.run.state)
        return (self.spoil(total) if spoiled else total), count


def spoiled(
    folder: Path,
    tokenizer_file: Path,
    config: TrainingConfig,
    spoil: Callable[[torch.Tensor], torch.Tensor],
    when: Callable[[TrainingState], bool],
    model: ModelConfig = MODEL,
) -> Process:
    """A process in which some steps go wrong."""
    task = SpoiledAt(spoil, when)
    task.process = Process(folder, tokenizer_file, config, model, task)
    return task.process


SPOILS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "not a number": lambda total: total * float("nan"),
    "infinite": lambda total: total * float("inf"),
    # The loss is a number, its gradient is not: sqrt has an infinite slope at 0.
    "only the gradient": lambda total: total.detach() + (total - total.detach()).sqrt(),
}


def larger_by(factor: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same loss with so much larger a gradient."""
    return lambda total: total.detach() + factor * (total - total.detach())


def files_of(folder: Path, *names: str) -> dict[str, bytes]:
    """The newest checkpoint's files, unless others are named only the tensors."""
    newest = list_checkpoints(folder)[-1]
    return {name: (newest / name).read_bytes() for name in names or ("model.safetensors", "optimizer.safetensors")}


def weights_file(folder: Path) -> bytes:
    return files_of(folder, "model.safetensors")["model.safetensors"]
