"""Our side: token shards and a recipe in, a curve out; the product's own loop.

    python -m pretraining.ours < task.json        (``time_to_loss.py`` starts it)

What the recipe says stays; only what the comparison needs is replaced (seed, how often to evaluate, the vocabulary,
and the number of steps where a time is to be filled). What the recipe leaves open of how steps are carried out is found
by measuring, as ``homespun train`` does, in this very process, so it is part of the process's time. Checkpoints and
samples are left out, as nanoGPT's are; the clock stands still while the exact loss is computed (in fp32, as nanoGPT's).
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from homespun.batches.ahead import Ahead
from homespun.batches.batch import Batch
from homespun.batches.next_token import NextTokenBatches, validation_batches
from homespun.batches.shards import TokenShards, read_manifest
from homespun.common.configuration import replace_values
from homespun.models.arithmetic import parameter_count
from homespun.models.registry import build_model
from homespun.pipeline.assemble import be_deterministic
from homespun.pipeline.configuration import Configuration, load_toml
from homespun.pipeline.planning.configured import configured_execution, execution_values
from homespun.training.average import WeightAverage
from homespun.training.checkpoint import TrainingState
from homespun.training.execution import Execution, apply_to_model, compile_step
from homespun.training.guard import Guard
from homespun.training.loop import TrainingRun, train
from homespun.training.losses import NextToken, Objective
from homespun.training.machine import choose_execution
from homespun.training.memory import validation_rows
from homespun.training.optimizer import build_optimizer
from homespun.training.pace import FixedPace, TimedPace
from homespun.training.validation import ExactLoss, exact_loss
from pretraining.curve import Curve, Point

NEVER = float("inf")
PROCESSOR = torch.device("cpu")


@dataclass(frozen=True)
class Task:
    """One run, in words that travel to another process. ``steps`` 0: the recipe's. ``seconds`` 0: not by time."""

    shards: str
    recipe: str
    steps: int
    interval: int
    seed: int
    seconds: float = 0.0


@dataclass
class Watch:
    """The clock of a run, and whom the loop tells its news."""

    began: float = 0.0
    evaluating: float = 0.0  # seconds so far
    requests: list[float] = field(default_factory=list)  # training seconds at which each batch was asked for
    points: list[Point] = field(default_factory=list)

    def seconds(self) -> float:
        """Training time so far."""
        return time.perf_counter() - self.began - self.evaluating

    def noting(self, make: Callable[[int], Batch]) -> Callable[[int], Batch]:
        """``make``, with a note of the time at each call."""

        def batch(number: int) -> Batch:
            self.requests.append(self.seconds())
            return make(number)

        return batch

    def standing_still(self, evaluate: Callable[[], ExactLoss]) -> Callable[[str], ExactLoss]:
        """``evaluate``, in time that does not count, at its own precision."""

        def validate(_precision: str) -> ExactLoss:
            began = time.perf_counter()
            loss = evaluate()
            self.evaluating += time.perf_counter() - began
            return loss

        return validate

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        self.points.append(Point(state.step, self.seconds(), loss.loss))

    concluded = validated

    def ignore(self, *_: object) -> None:
        """What is of no concern here: metrics, samples, checkpoints."""

    trained = skipped = rolled_back = sampled = save = settle = finish = ignore


@dataclass
class WatchedPace:
    """The product's pace by time, by the clock of this comparison: evaluations do not count."""

    pace: TimedPace
    watch: Watch

    def total_steps(self, step: int, total: int, seconds: float) -> int:
        return self.pace.total_steps(step, total, self.watch.seconds())


def configuration(task: Task) -> tuple[Configuration, Execution]:
    """The recipe with what the comparison replaces, and how its steps are carried out."""
    recipe = load_toml(Path(task.recipe))
    values = {
        "model.vocabulary_size": read_manifest(Path(task.shards))["vocabulary_size"],
        "training.steps": task.steps or recipe.training.steps,
        "training.seed": task.seed,
        "training.evaluate_every": task.interval,
        "training.sample_every": 0,
        "training.checkpoint_seconds": NEVER,
    }
    config = replace_values(recipe, values)
    training = config.training
    execution = configured_execution(training)
    if execution is None:
        rows = training.micro_batch_size or training.batch_size
        tokens = training.steps * training.batch_size * config.model.context
        execution, _ = choose_execution(config.model, rows, training, PROCESSOR, tokens)
    return replace_values(config, execution_values(execution)), execution


def run(task: Task) -> tuple[Curve, float]:
    """One whole run in this process; the second figure is the seconds of its loop, evaluations included."""
    be_deterministic(PROCESSOR)
    config, execution = configuration(task)
    training, shards, watch = config.training, Path(task.shards), Watch()
    torch.set_num_threads(execution.threads)
    torch.manual_seed(training.seed)
    model = build_model(config.model)
    apply_to_model(model, execution)
    objective = Objective(model, NextToken())
    measured = Objective(model, NextToken())  # never compiled: its batches have other shapes
    text_bytes = read_manifest(shards)["splits"]["validation"]["bytes"]

    def evaluate() -> ExactLoss:
        rows = validation_rows(config.model, training)
        windows = validation_batches(TokenShards(shards, "validation"), config.model.context, rows)
        return exact_loss(measured, windows, text_bytes, PROCESSOR, "fp32")

    batches = NextTokenBatches(TokenShards(shards, "train"), config.model.context, training.batch_size, training.seed)
    ahead = Ahead(batches.batch, training.workers)
    nobody: Any = watch
    whole = TrainingRun(
        model=model,
        objective=compile_step(objective) if execution.compiled else objective,
        optimizer=build_optimizer(model, training),
        guard=Guard(training.outlier_factor, PROCESSOR),
        batch=watch.noting(ahead),
        validate=watch.standing_still(evaluate),
        saver=nobody,
        restore=lambda: None,
        config=training,
        pace=WatchedPace(TimedPace(task.seconds, training), watch) if task.seconds else FixedPace(),
        observer=nobody,
        device=PROCESSOR,
        state=TrainingState(0, training.steps, 0, 0.0, execution),
        average=WeightAverage(model, training.average_decay) if training.average_decay else None,
    )
    with closing(ahead):
        watch.began = time.perf_counter()
        train(whole)
        elapsed = time.perf_counter() - watch.began
    usual = statistics.median(later - earlier for earlier, later in itertools.pairwise(watch.requests))
    tokens_per_step = training.batch_size * config.model.context
    points = tuple(watch.points)
    return Curve(parameter_count(config.model), str(execution), task.seed, tokens_per_step, usual, 0.0, points), elapsed


def main() -> None:
    """A task in JSON on standard input; its curve in JSON on the last line."""
    curve, elapsed = run(Task(**json.loads(sys.stdin.read())))
    print(json.dumps({"curve": asdict(curve), "loop_seconds": elapsed}))


if __name__ == "__main__":
    main()
