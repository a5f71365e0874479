"""Puts the parts of one training together in a run folder: model, optimizer, batches, checkpoints, recorder.

In: what is learned and from what (``Lesson``), and how steps are carried out here (``Place``). Out: what the one loop
needs, at the newest checkpoint of the folder. All that is special to a run folder is here; the loop knows nothing of
it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from homespun.batches.ahead import Ahead
from homespun.batches.batch import Batch
from homespun.batches.sources import Batches
from homespun.common.configuration import flatten
from homespun.common.progress import Reporter
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.environment import available_memory_bytes
from homespun.pipeline.made_with import check_made_with
from homespun.pipeline.recorder import Bystander, Recorder
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.sinks import Session, open_sinks
from homespun.training.average import WeightAverage
from homespun.training.best import BestWeights
from homespun.training.checkpoint import (
    Moving,
    TrainingState,
    checkpoint_name,
    load_checkpoint,
    newest_checkpoint,
    step_of,
)
from homespun.training.device import choose_device
from homespun.training.estimate import shares_by_layout
from homespun.training.execution import Execution, apply_to_model, compile_step, why_not_compile
from homespun.training.guard import Guard
from homespun.training.interruption import Interruption
from homespun.training.loop import TrainingRun
from homespun.training.losses import Objective, Task
from homespun.training.memory import training_memory
from homespun.training.optimizer import build_optimizer
from homespun.training.pace import Pace
from homespun.training.parallel import PARALLEL, arrange, check_batch, check_blocks
from homespun.training.saving import Saver
from homespun.training.settings import TrainingConfig
from homespun.training.sharding import gathered
from homespun.training.validation import ExactLoss, exact_loss
from homespun.training.world import World, processes_here


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learned, and from what.

    ``model`` with the weights it begins with; ``validation()`` gives every target of the held-back part once, and
    ``validation_bytes`` the size of its text, if it is one. ``documents`` and ``tokenizer_file``: what a checkpoint
    says of the model and how it was made. ``write(model, prompt)`` shows what the model can do, for each of the
    ``prompts``. ``unit``: what targets are called. ``baseline``: figures to compare those of the validation with.
    ``left_out``: a line about data that is not used, if there is any. ``examine(model)``: what else is worth knowing of
    the trained model, for ``result.json``.
    """

    model: nn.Module
    task: Task
    batches: Batches
    validation: Callable[[], Iterable[Batch]]
    validation_bytes: int | None
    tokenizer_file: Path | None
    documents: dict[str, dict[str, Any]]
    write: Callable[[nn.Module, str], str]
    prompts: list[str]
    unit: str = "tokens"
    baseline: dict[str, float] = field(default_factory=dict)
    left_out: str = ""
    examine: Callable[[nn.Module], dict[str, Any]] = lambda _: {}


@dataclass(frozen=True)
class Place:
    """Where and how steps are carried out: this process's device, and its part among others."""

    device: torch.device
    execution: Execution
    world: World


def prepare_process(training: TrainingConfig, reporter: Reporter, world: World) -> Place:
    """Its share of the batch, group, threads, random numbers and kernels of this process; before the model is made."""
    check_batch(training, world)
    device = choose_device(training.device, world.local_rank)
    execution = possible(Execution.of(training), device, reporter)
    torch.set_num_threads(execution.threads)
    torch.manual_seed(training.seed)
    be_deterministic(device)
    return Place(device, execution, arrange(world, training, device))


def assemble(
    run: RunFolder,
    config: Configuration,
    lesson: Lesson,
    place: Place,
    pace: Pace,
    reporter: Reporter,
    stack: contextlib.ExitStack,
) -> tuple[TrainingRun, Recorder | Bystander]:
    """All parts of a run, at its newest checkpoint; ``stack`` closes what has to be closed."""
    training, device, world = config.training, place.device, place.world
    check_blocks(config.model, training, world)
    model = lesson.model.to(device)
    objective, measured = objectives(model, lesson.task, training, place)
    optimizer, guard = build_optimizer(model, training), Guard(training.outlier_factor, device)
    average = WeightAverage(model, training.average_decay) if training.average_decay else None
    moving: dict[str, Moving] = {"optimizer": optimizer, "guard": guard}
    if average is not None:
        moving["average"] = average
    best = BestWeights(model) if training.keep == "best" else None
    if best is not None:
        moving["best"] = best
    restore = functools.partial(restore_newest, run, model, moving, lesson.documents, reporter, world)
    state = first_state(restore(), training.steps, place.execution, reporter)
    world.wait()  # nobody reads the folder any more when the first one begins to write to it
    if world.is_first:
        run.forget_after(state.step)

    ahead = Ahead(lesson.batches.batch, training.workers)
    stack.callback(ahead.close)
    saver = Saver(
        run.checkpoints, model, moving, lesson.documents, lesson.tokenizer_file, training.keep_checkpoints,
        reporter.warn, world, background=copy_fits(config, device, world),
    )  # fmt: skip
    stack.callback(saver.settle)
    interruption = stack.enter_context(Interruption())
    recorder = open_recorder(run, config, lesson, state, reporter, world, stack)

    def validate(precision: str) -> ExactLoss:
        batches, size = lesson.validation(), lesson.validation_bytes
        return exact_loss(measured, batches, size, device, precision, world, lesson.task.measures)

    training_run = TrainingRun(
        model=model,
        objective=objective,
        optimizer=optimizer,
        guard=guard,
        batch=ahead,
        config=training,
        device=device,
        state=state,
        world=world,
        validate=validate,
        saver=saver,
        restore=restore,
        pace=pace,
        observer=recorder,
        average=average,
        best=best,
        stop_requested=lambda: interruption.requested,
    )
    return training_run, recorder


def objectives(model: nn.Module, task: Task, training: TrainingConfig, place: Place) -> tuple[nn.Module, nn.Module]:
    """Model and task as one: compiled, replicated, sharded or divided for training; as it can be measured."""
    apply_to_model(model, place.execution)
    objective: nn.Module = Objective(model, task)
    if place.world.size > 1:
        objective = PARALLEL[training.parallel](objective, place.world, place.device, training.shard_size)
    # Validation has batches of other shapes, which need not be compiled; but what is spread meets only in the whole.
    sharded = training.parallel != "replicated" and place.world.size > 1
    measured = objective if sharded else Objective(model, task)
    if place.execution.compiled:
        compile_step(objective)
    return objective, measured


def restore_newest(
    run: RunFolder,
    model: nn.Module,
    moving: dict[str, Moving],
    documents: dict[str, dict[str, Any]],
    reporter: Reporter,
    world: World,
) -> TrainingState | None:
    """Load the newest whole checkpoint of the run, if there is one."""
    # The first process clears up and chooses; the others, looking for themselves, might find another one.
    found = newest_checkpoint(run.checkpoints, reporter.warn) if world.is_first else None
    (step,) = world.largest([step_of(found) if found else -1])
    if step < 0:
        return None
    checkpoint = found or run.checkpoints / checkpoint_name(step)
    check_made_with(checkpoint, documents["made_with.json"])
    return load_checkpoint(checkpoint, model, moving)


def first_state(restored: TrainingState | None, steps: int, execution: Execution, reporter: Reporter) -> TrainingState:
    """Where the run stands now: at its beginning, or where it was ``restored``."""
    if restored is None:
        return TrainingState(0, steps, 0, 0.0, execution)
    reporter.say(f"continuing at step {restored.step:,} of {restored.total:,}")
    if restored.execution != execution:
        reporter.warn(f"the run began as {restored.execution} and goes on as {execution}: not the same to the last bit")
    return replace(restored, execution=execution)


def open_recorder(
    run: RunFolder,
    config: Configuration,
    lesson: Lesson,
    state: TrainingState,
    reporter: Reporter,
    world: World,
    stack: contextlib.ExitStack,
) -> Recorder | Bystander:
    """The first process writes down what it sees."""
    whole_model = functools.partial(gathered, lesson.model, world)
    if not world.is_first:
        return Bystander(whole_model)
    session = Session(run.path, run.record()["name"], flatten(config), state.step)
    return Recorder(
        run,
        whole_model,
        lesson.write,
        lesson.prompts,
        lesson.unit,
        config.sampling.temperature,
        reporter,
        stack.enter_context(reporter.stage("training", state.total, "steps")),
        stack.enter_context(open_sinks(config.training.sinks, session, reporter.warn)),
        lesson.baseline,
        config.training.keep == "best",
    )


def possible(execution: Execution, device: torch.device, reporter: Reporter) -> Execution:
    """The same, not compiled where that cannot be done."""
    if execution.compiled and (reason := why_not_compile(device.type)):
        reporter.warn(f"steps are not compiled: {reason}")
        return replace(execution, compiled=False)
    return execution


def copy_fits(config: Configuration, device: torch.device, world: World) -> bool:
    """Whether there is memory to copy weights and moments beside the training, so that a thread can write them."""
    training = config.training
    rows = training.micro_batch_size or training.batch_size // world.shares
    shares, parts = shares_by_layout(training, world.size)[training.parallel], training.parts_of_block(world.size)
    memory = training_memory(config.model, training, rows, shares, snapshot=True, parts=parts)
    there_already = memory.weights + memory.moments + memory.reading
    still_to_come = memory.total - there_already if device.type == "cpu" else memory.snapshot
    return still_to_come < available_memory_bytes() // processes_here()


def be_deterministic(device: torch.device) -> None:
    """The same bits each time, on a processor; GPUs keep their faster kernels."""
    torch.use_deterministic_algorithms(device.type == "cpu")
    # Filling fresh memory with NaN is a help for debugging and costs a pass over every tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyrefly: ignore
