"""The one training loop: a model, batches and a task in; trained weights, checkpoints and metrics out.

It trains whatever the task says, on one device, from step 0 or from a checkpoint. Interrupted
between any two steps, or killed, it continues to the same bits: batches are a function of their
number, the schedule a function of the step, and everything else is in the checkpoint.

The caller passes in what differs: how batches are made, how many steps (``Pace``), what to do with
metrics and samples (``Observer``), how a checkpoint is written.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from homespun.batches.batch import IGNORED, Batch
from homespun.common.errors import HomespunError
from homespun.training.checkpoint import TrainingState
from homespun.training.losses import Task
from homespun.training.optimizer import set_learning_rate
from homespun.training.pace import Pace
from homespun.training.precision import autocast
from homespun.training.schedule import SCHEDULES
from homespun.training.settings import TrainingConfig
from homespun.training.validation import ExactLoss


class Observer(Protocol):
    """Sees the run go by; it never changes it."""

    def trained(self, record: dict[str, Any], state: TrainingState) -> None:
        """Every ``log_every`` steps: loss in nats per token, rate, gradient norm, speed."""
        ...

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        """After each exact validation."""
        ...

    def sampled(self, state: TrainingState) -> None:
        """When it is time for a sample."""
        ...


@dataclass
class TrainingRun:
    """Everything the loop needs; ``state`` moves as it runs."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    task: Task
    batch: Callable[[int], Batch]
    validate: Callable[[str], ExactLoss]
    save: Callable[[TrainingState], None]
    config: TrainingConfig
    pace: Pace
    observer: Observer
    device: torch.device
    state: TrainingState
    stop_requested: Callable[[], bool] = lambda: False


@dataclass
class Window:
    """What happened since the last line of metrics."""

    loss: torch.Tensor | float = 0.0
    gradient_norm: torch.Tensor | float = 0.0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


def train_step(run: TrainingRun, rate: float) -> tuple[torch.Tensor, torch.Tensor, int]:
    """One update. Returns the mean loss (nats per target), the gradient norm and the number of targets."""
    config = run.config
    batch = run.batch(run.state.step)
    micro = config.micro_batch_size or config.batch_size
    parts = [
        Batch(inputs, targets).to(run.device)
        for inputs, targets in zip(batch.inputs.split(micro), batch.targets.split(micro), strict=True)
    ]
    targets_in_step = int((batch.targets != IGNORED).sum())
    loss = torch.zeros((), device=run.device)
    for part in parts:
        with autocast(run.device, run.state.precision):
            total, _ = run.task.loss(run.model, part)
        share = total / targets_in_step
        share.backward()
        loss += share.detach()
    limit = config.gradient_clip or float("inf")
    gradient_norm = nn.utils.clip_grad_norm_(run.model.parameters(), limit)
    set_learning_rate(run.optimizer, rate)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return loss, gradient_norm, targets_in_step


def train(run: TrainingRun) -> bool:
    """Train until the pace's total. True: finished; False: asked to stop (saved, resumable)."""
    state, config = run.state, run.config
    schedule = SCHEDULES[config.schedule]
    window, saved_at = Window(), time.perf_counter()
    run.model.train()
    while True:
        state.total = run.pace.total_steps(state.step, state.total, state.seconds)
        if state.step >= state.total:
            break
        if run.stop_requested():
            check_finite({"loss": float(window.loss), "gradient_norm": float(window.gradient_norm)}, state)
            run.save(state)
            return False
        started = time.perf_counter()
        rate = config.learning_rate * schedule(state.step, state.total, config)
        loss, gradient_norm, targets = train_step(run, rate)
        state.step += 1
        state.tokens += targets
        window.loss, window.gradient_norm = window.loss + loss, window.gradient_norm + gradient_norm
        window.steps, window.tokens = window.steps + 1, window.tokens + targets
        last = state.step >= state.total
        if state.step % config.log_every == 0 or last:
            mean_loss = float(window.loss) / window.steps  # waits for the device: only here
            elapsed = time.perf_counter() - started
            record = {
                "loss": mean_loss,
                "learning_rate": rate,
                "gradient_norm": float(window.gradient_norm) / window.steps,
                "tokens_per_second": window.tokens / (window.seconds + elapsed),
            }
            check_finite(record, state)
            state.seconds += elapsed
            run.observer.trained(record, state)
            window, started = Window(), time.perf_counter()
        else:
            window.seconds += time.perf_counter() - started
        if state.step % config.evaluate_every == 0 and not last:
            run.observer.validated(run.validate(state.precision), state)
        if config.sample_every and state.step % config.sample_every == 0 and not last:
            run.observer.sampled(state)
        # Only where the loss has just been found finite, and after everything that is recorded of this step.
        if not window.steps and not last and time.perf_counter() - saved_at >= config.checkpoint_seconds:
            run.save(state)
            saved_at = time.perf_counter()
        state.seconds += time.perf_counter() - started
    final = run.validate("fp32")  # the final figure, at full precision
    check_finite({"loss": final.loss}, state)
    run.save(state)
    run.observer.validated(final, state)
    return True


def check_finite(record: dict[str, float], state: TrainingState) -> None:
    """A loss that is not a number never becomes one again: stop before it is saved."""
    if not all(abs(value) < float("inf") for value in record.values()):
        raise HomespunError(
            f"the loss or the gradient is not finite at step {state.step} (loss {record['loss']}); "
            "the newest checkpoint is from before: lower training.learning_rate"
        )
