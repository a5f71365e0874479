"""The one training loop: a model, batches and a task in; trained weights, checkpoints and metrics out.

It trains whatever the task says, in one process or as one of several, from step 0 or from a checkpoint.
Interrupted between any two steps, or killed, it continues to the same bits: batches, random numbers and the
schedule are functions of the step, and everything else is in the checkpoint.

The caller passes in what differs: how batches are made, how many steps (``Pace``), what to do with
metrics and samples (``Observer``), how a checkpoint is written and found again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from homespun.batches.batch import IGNORED, Batch
from homespun.batches.order import key_of
from homespun.common.errors import HomespunError
from homespun.training.average import WeightAverage
from homespun.training.best import BestWeights, is_better, is_over, note
from homespun.training.checkpoint import TrainingState
from homespun.training.gradients import exchange_gradients, limit_gradients
from homespun.training.guard import Guard
from homespun.training.optimizer import Optimizers
from homespun.training.pace import Pace
from homespun.training.precision import autocast
from homespun.training.schedule import SCHEDULES
from homespun.training.settings import TrainingConfig
from homespun.training.validation import ExactLoss
from homespun.training.world import World

STEPS_IN_VAIN = 5  # so many skipped in a row: not a bad batch, but weights that have gone astray
MOST_ROLLBACKS = 3
RATE_AFTER_ROLLBACK = 0.5


class Observer(Protocol):
    """Sees the run go by; it never changes it."""

    def trained(self, record: dict[str, Any], state: TrainingState) -> None:
        """Every ``log_every`` steps: loss in nats per token, rate, gradient norm, speed."""
        ...

    def skipped(self, record: dict[str, Any], state: TrainingState) -> None:
        """A step that changed nothing: its number, loss, gradient norm, and the batch."""
        ...

    def rolled_back(self, reason: str, state: TrainingState) -> None:
        """The run goes on from ``state``, which lies behind."""
        ...

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        """After each exact validation along the way."""
        ...

    def concluded(self, loss: ExactLoss, state: TrainingState) -> None:
        """At the end: the exact validation loss, at full precision, of the weights that are kept."""
        ...

    def sampled(self, state: TrainingState) -> None:
        """When it is time for a sample."""
        ...


class Saver(Protocol):
    """Where checkpoints go (``homespun.training.saving``)."""

    def save(self, state: TrainingState) -> None: ...

    def settle(self) -> None: ...

    def finish(self) -> None: ...


@dataclass(kw_only=True)
class Stepping:
    """Everything that one step needs; ``state`` moves from step to step.

    ``objective`` is model and task as one (``homespun.training.losses``), compiled, replicated or sharded; ``batch(n)``
    gives this process its rows of batch n.
    """

    model: nn.Module
    objective: nn.Module
    optimizer: Optimizers
    guard: Guard
    batch: Callable[[int], Batch]
    config: TrainingConfig
    device: torch.device
    state: TrainingState
    world: World = field(default_factory=World)


@dataclass(kw_only=True)
class TrainingRun(Stepping):
    """Everything that the loop needs besides. ``restore()`` loads the newest checkpoint; None: there is none."""

    validate: Callable[[str], ExactLoss]
    saver: Saver
    restore: Callable[[], TrainingState | None]
    pace: Pace
    observer: Observer
    average: WeightAverage | None = None
    best: BestWeights | None = None
    stop_requested: Callable[[], bool] = lambda: False


class Row(NamedTuple):
    """One step as it went."""

    step: int
    loss: float
    norm: float
    skipped: bool


@dataclass
class Window:
    """The steps since the last line of metrics. Losses, norms and verdicts stay on the device until they are read."""

    first_step: int
    losses: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    skips: list[torch.Tensor] = field(default_factory=list)
    tokens: int = 0
    last_tokens: int = 0
    seconds: float = 0.0

    def add(self, loss: torch.Tensor, norm: torch.Tensor, skip: torch.Tensor, tokens: int) -> None:
        """What ``train_step`` returned."""
        self.losses.append(loss)
        self.norms.append(norm)
        self.skips.append(skip)
        self.tokens += tokens
        self.last_tokens = tokens

    def read(self) -> list[Row]:
        """All of them as numbers; waits for the device."""
        losses, norms, skips = (torch.stack(column).tolist() for column in (self.losses, self.norms, self.skips))
        steps = range(self.first_step, self.first_step + len(losses))
        return [Row(*row) for row in zip(steps, losses, norms, map(bool, skips), strict=True)]


def train_step(run: Stepping, share: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """One update at ``share`` of the highest rate.

    Returns the mean loss (nats per target), the gradient norm, whether the step was skipped (1.0), and how many
    tokens it read.
    """
    config, world = run.config, run.world
    batch = run.batch(run.state.step)
    rows = len(batch.inputs)
    parts = [part.to(run.device) for part in batch.split(config.micro_batch_size or rows)]
    targets_in_step, tokens_in_step = world.sum(
        torch.stack([(batch.targets != IGNORED).sum(), batch.tokens()])
    ).tolist()
    torch.manual_seed(key_of(config.seed + world.share, run.state.step))  # dropout, the same after any interruption
    loss = torch.zeros((), device=run.device)
    for number, part in enumerate(parts):
        with exchange_gradients(run.objective, number == len(parts) - 1):
            with autocast(run.device, run.state.execution.precision):
                total, *_ = run.objective(part)
            mean = total / targets_in_step
            # Processes take the mean of their gradients; the loss is a sum over all of them.
            (mean * world.shares).backward()
        loss += mean.detach()
    loss = world.sum(loss)
    norm = limit_gradients(run.model, config.gradient_clip)
    skip = run.guard.judge(loss, norm)
    run.optimizer.set_share(share)
    run.optimizer.step(skip)
    run.optimizer.zero_grad()
    return loss, norm, skip, tokens_in_step


def train(run: TrainingRun) -> bool:
    """Train until the pace's total, or patience, ends. True: finished; False: asked to stop (saved, resumable)."""
    config = run.config
    window, saved_at, rate = Window(run.state.step), time.perf_counter(), 0.0
    run.objective.train()
    while True:
        started, state = time.perf_counter(), run.state
        # Only where all verdicts are known and good, and after everything that is recorded of a step.
        may_save = state.step > 0 and not window.losses and not state.in_vain
        stop, save_now = agree(run, may_save and started - saved_at >= config.checkpoint_seconds)
        if stop or is_over(state, config):
            break
        if save_now:
            run.saver.save(state)
            saved_at = time.perf_counter()
        share = SCHEDULES[config.schedule](state.step, state.total, config) * RATE_AFTER_ROLLBACK**state.rollbacks
        rate = config.learning_rate * share
        window.add(*train_step(run, share))
        state.step += 1
        state.tokens += window.last_tokens
        if run.average is not None:
            run.average.follow(state.step)
        last = state.step >= state.total
        if state.step % config.log_every == 0 or last:
            rows = window.read()  # waits for the device: only here
            window.seconds += time.perf_counter() - started
            report(run, rows, window, rate)
            window = Window(state.step)
            if state.in_vain >= STEPS_IN_VAIN:
                roll_back(run, rows[-1])
                window, saved_at = Window(run.state.step), time.perf_counter()
                continue
        else:
            window.seconds += time.perf_counter() - started
        if state.step % config.evaluate_every == 0 and not last:
            evaluate(run)
        if config.sample_every and state.step % config.sample_every == 0 and not last:
            run.observer.sampled(state)
        state.seconds += time.perf_counter() - started
    if window.losses:
        report(run, window.read(), window, rate)
    if not is_over(run.state, config):
        run.saver.save(run.state)
        run.saver.finish()
        return False
    conclude(run)
    return True


def agree(run: TrainingRun, save_now: bool) -> tuple[bool, bool]:
    """Set the total of steps; say whether to stop and whether to save.

    Clocks and signals differ between processes: the total and the time to save are the first one's; anyone may ask
    to stop.
    """
    state, first = run.state, run.world.is_first
    total = run.pace.total_steps(state.step, state.total, state.seconds) if first else 0
    state.total, stop, save = run.world.largest([total, int(run.stop_requested()), int(save_now and first)])
    return bool(stop), bool(save)


def evaluate(run: TrainingRun) -> None:
    """The exact validation loss of this moment; are these the best weights so far?"""
    state, found = run.state, run.validate(run.state.execution.precision)
    better = bool(run.world.largest([int(is_better(state, found.loss))])[0])  # all processes do the same
    note(state, found.loss, better)
    if better and run.best is not None:
        run.best.take()
    run.observer.validated(found, state)


def report(run: TrainingRun, rows: list[Row], window: Window, rate: float) -> None:
    """Tell the observer of a window; count the steps that were skipped, in all and in a row."""
    for row in rows:
        if row.skipped:
            run.state.skipped += 1
            record = {"step": row.step, "batch": row.step, "loss": row.loss, "gradient_norm": row.norm}
            run.observer.skipped(record, run.state)
        run.state.in_vain = run.state.in_vain + 1 if row.skipped else 0
    good = [row for row in rows if not row.skipped]
    if good:
        record = {
            "loss": sum(row.loss for row in good) / len(good),
            "learning_rate": rate,
            "gradient_norm": sum(row.norm for row in good) / len(good),
            "tokens_per_second": window.tokens / window.seconds,
        }
        run.observer.trained(record, run.state)


def roll_back(run: TrainingRun, row: Row) -> None:
    """Go back to the newest checkpoint and on from there at half the rate; a few times, then stop with the reason."""
    what = f"the loss or the gradient is not finite at step {row.step}"
    if abs(row.loss) < float("inf") and abs(row.norm) < float("inf"):
        what = f"the gradient is {row.norm / float(run.guard.mean):,.0f} times as large as usual at step {row.step}"
    reason = (
        f"{what}, and {run.state.in_vain} steps in a row were skipped (loss {row.loss:.3g}, gradient {row.norm:.3g})"
    )
    old, rollbacks = run.state, run.state.rollbacks + 1
    run.saver.settle()
    restored = run.restore() if rollbacks <= MOST_ROLLBACKS else None
    if restored is None:
        halved = f"{MOST_ROLLBACKS} times the rate was halved in vain"
        before = halved if rollbacks > MOST_ROLLBACKS else "there is no checkpoint yet"
        raise HomespunError(f"{reason}; {before}: lower training.learning_rate or look at the text of these batches")
    # What was lost has taken its time all the same.
    run.state = replace(restored, rollbacks=rollbacks, skipped=old.skipped, in_vain=0, seconds=old.seconds)
    run.observer.rolled_back(reason, run.state)


def conclude(run: TrainingRun) -> None:
    """The final figure, at full precision, of the weights that are kept."""
    if run.average is not None:
        run.average.move_in()
    if run.best is not None:
        if run.state.judged_at < run.state.step:  # the last weights may be the best
            evaluate(run)
        run.best.move_in()
    final = run.validate("fp32")
    if not abs(final.loss) < float("inf"):
        raise HomespunError(
            f"after step {run.state.step} the validation loss is not finite (loss {final.loss}); "
            "the newest checkpoint is from before: lower training.learning_rate"
        )
    run.saver.save(run.state)
    run.saver.finish()
    run.observer.concluded(final, run.state)
