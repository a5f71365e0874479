"""The training stage of a run: shards and a configuration in; checkpoints, metrics, samples, result out.

Puts the parts together (model, optimizer, batches, pace, recorder), finds the newest checkpoint and
lets the one loop run, in one process or as one of several. All that is special to a run folder is here; the
loop knows nothing of it.
"""

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from homespun.batches.ahead import Ahead
from homespun.batches.shards import TokenShards, read_manifest, verify_shards
from homespun.batches.sources import SOURCES, Asked
from homespun.common.configuration import flatten, replace_values
from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import write_json
from homespun.common.progress import Reporter
from homespun.inference.writers import WRITERS
from homespun.models.arithmetic import matrix_parameters, parameter_count, training_flops_per_token
from homespun.models.registry import build_model
from homespun.pipeline.configuration import Configuration, write_toml
from homespun.pipeline.environment import available_memory_bytes, peak_memory_bytes
from homespun.pipeline.made_with import check_made_with, made_with
from homespun.pipeline.recorder import Bystander, Recorder
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.sinks import Session, open_sinks
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.average import WeightAverage
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
from homespun.training.loop import TrainingRun, train
from homespun.training.losses import Objective
from homespun.training.memory import training_memory, validation_rows
from homespun.training.optimizer import build_optimizer
from homespun.training.pace import Pace
from homespun.training.parallel import PARALLEL, check_batch
from homespun.training.saving import Saver
from homespun.training.sharding import gathered
from homespun.training.tasks import TASKS
from homespun.training.validation import ExactLoss, exact_loss
from homespun.training.world import World, processes_here

PROMPT_CHARACTERS = 32


def train_run(run: RunFolder, config: Configuration, pace: Pace, reporter: Reporter, world: World = World()) -> bool:
    """Train to the end, or until asked to stop; ``pace`` says how many steps.

    True: finished, ``result.json`` is written. False: saved, to be continued.
    """
    check_shards(run)
    with contextlib.ExitStack() as stack:
        training_run, recorder = assemble(run, config, pace, reporter, world, stack)
        finished = train(training_run)
        if finished:
            recorder.sampled(training_run.state)
    if finished and isinstance(recorder, Recorder):
        conclude(run, config, recorder, training_run.state)
    return finished


def assemble(
    run: RunFolder, config: Configuration, pace: Pace, reporter: Reporter, world: World, stack: contextlib.ExitStack
) -> tuple[TrainingRun, Recorder | Bystander]:
    """All parts of a run, at its newest checkpoint; ``stack`` closes what has to be closed."""
    training = config.training
    check_batch(training.batch_size, world)
    device = choose_device(training.device, world.local_rank)
    execution = possible(Execution.of(training), device, reporter)
    torch.set_num_threads(execution.threads)
    torch.manual_seed(training.seed)
    be_deterministic(device)

    model = build_model(config.model).to(device)
    write_model_record(run, config, model)
    apply_to_model(model, execution)
    task = TASKS[config.model.task]
    objective: torch.nn.Module = Objective(model, task)
    if world.size > 1:
        objective = PARALLEL[training.parallel](objective, world, device, training.shard_size)
    # Validation has batches of other shapes, which need not be compiled; but sharded weights meet only in the whole.
    measured = objective if training.parallel != "replicated" and world.size > 1 else Objective(model, task)
    if execution.compiled:
        compile_step(objective)

    optimizer = build_optimizer(model, training)
    guard = Guard(training.outlier_factor, device)
    average = WeightAverage(model, training.average_decay) if training.average_decay else None
    moving: dict[str, Moving] = {"optimizer": optimizer, "guard": guard}
    if average is not None:
        moving["average"] = average
    documents = {"config.json": flatten(config.model), "made_with.json": made_with(run, config)}

    def restore() -> TrainingState | None:
        # The first process clears up and chooses; the others, looking for themselves, might find another one.
        found = newest_checkpoint(run.checkpoints, reporter.warn) if world.is_first else None
        (step,) = world.largest([step_of(found) if found else -1])
        if step < 0:
            return None
        checkpoint = found or run.checkpoints / checkpoint_name(step)
        check_made_with(checkpoint, documents["made_with.json"])
        return load_checkpoint(checkpoint, model, moving)

    state = restore()
    if state is None:
        state = TrainingState(0, training.steps, 0, 0.0, execution)
    else:
        reporter.say(f"continuing at step {state.step:,} of {state.total:,}")
        if state.execution != execution:
            reporter.warn(
                f"the run began as {state.execution} and goes on as {execution}: not the same to the last bit"
            )
        state.execution = execution
    world.wait()  # nobody reads the folder any more when the first one begins to write to it
    if world.is_first:
        run.forget_after(state.step, state.total)

    tokenizer = Tokenizer.load(run.tokenizer)
    asked = Asked(run.tokens, config.model.context, training.batch_size, training.seed, world.rank, world.size,
                  tokenizer.special_tokens)  # fmt: skip
    batches = SOURCES[config.model.task].training(asked)
    ahead = Ahead(batches.batch, training.workers)
    stack.callback(ahead.close)
    saver = Saver(
        run.checkpoints, model, moving, documents, run.tokenizer, training.keep_checkpoints, reporter.warn, world,
        background=copy_fits(config, device, world),
    )  # fmt: skip
    stack.callback(saver.settle)
    interruption = stack.enter_context(Interruption())
    recorder: Recorder | Bystander = Bystander(functools.partial(gathered, model, world))
    if world.is_first:
        session = Session(run.path, run.record()["name"], flatten(config), state.step)
        recorder = Recorder(
            run,
            functools.partial(gathered, model, world),
            WRITERS[config.model.task],
            tokenizer,
            batches.windows,
            config.sampling,
            [first_words(run, tokenizer), ""],  # the first is shown while training
            reporter,
            stack.enter_context(reporter.stage("training", state.total, "steps")),
            stack.enter_context(open_sinks(training.sinks, session, reporter.warn)),
        )
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
        validate=validation(run, config, asked, measured, device, world),
        saver=saver,
        restore=restore,
        pace=pace,
        observer=recorder,
        average=average,
        stop_requested=lambda: interruption.requested,
    )
    return training_run, recorder


def possible(execution: Execution, device: torch.device, reporter: Reporter) -> Execution:
    """The same, not compiled where that cannot be done."""
    if execution.compiled and (reason := why_not_compile(device.type)):
        reporter.warn(f"steps are not compiled: {reason}")
        return replace(execution, compiled=False)
    return execution


def copy_fits(config: Configuration, device: torch.device, world: World) -> bool:
    """Whether there is memory to copy weights and moments beside the training, so that a thread can write them."""
    training = config.training
    rows = training.micro_batch_size or training.batch_size // world.size
    shares = shares_by_layout(training, world.size)[training.parallel]
    memory = training_memory(config.model, training, rows, shares, snapshot=True)
    still_to_come = memory.total - memory.weights - memory.moments if device.type == "cpu" else memory.snapshot
    return still_to_come < available_memory_bytes() // processes_here()


def validation(
    run: RunFolder, config: Configuration, asked: Asked, objective: torch.nn.Module, device: torch.device, world: World
) -> Callable[[str], ExactLoss]:
    """The exact loss over the whole validation split, at a precision."""
    text_bytes = read_manifest(run.tokens)["splits"]["validation"]["bytes"]
    rows = max(world.size, validation_rows(config.model, config.training))
    source = SOURCES[config.model.task]

    def validate(precision: str) -> ExactLoss:
        return exact_loss(objective, source.validation(replace(asked, rows=rows)), text_bytes, device, precision, world)

    return validate


def be_deterministic(device: torch.device) -> None:
    """The same bits each time, on a processor; GPUs keep their faster kernels."""
    torch.use_deterministic_algorithms(device.type == "cpu")
    # Filling fresh memory with NaN is a help for debugging and costs a pass over every tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyrefly: ignore


def check_shards(run: RunFolder) -> None:
    """The shards are whole and made with this run's tokenizer."""
    verify_shards(run.tokens)
    manifest, tokenizer = read_manifest(run.tokens), Tokenizer.load(run.tokenizer)
    if manifest["tokenizer"] != tokenizer.identity():
        raise DamagedFileError(
            f"{run.tokens} was made with another tokenizer than {run.tokenizer}; delete {run.tokens} and run again"
        )
    if manifest["splits"]["validation"]["tokens"] < 2:
        raise HomespunError("the validation split has no tokens; raise corpus.validation_fraction or add text")


def first_words(run: RunFolder, tokenizer: Tokenizer) -> str:
    """The beginning of the validation text: a prompt the model has never seen."""
    shards = TokenShards(run.tokens, "validation")
    text = tokenizer.decode(shards.read(1, min(PROMPT_CHARACTERS, len(shards) - 1)).tolist())[:PROMPT_CHARACTERS]
    words = text.rsplit(" ", 1)[0] if " " in text.strip() else text
    return words.strip()


def write_model_record(run: RunFolder, config: Configuration, model: torch.nn.Module) -> None:
    """``model.json``: what the model is made of, for people and the report."""
    write_json(
        run.path / "model.json",
        {
            "parameters": parameter_count(config.model),
            "parameters_without_embeddings": matrix_parameters(config.model),
            "flops_per_token_training": training_flops_per_token(config.model),
            "architecture": flatten(config.model),
            "table": [
                {"name": name, "shape": list(parameter.shape), "parameters": parameter.numel()}
                for name, parameter in model.named_parameters()
            ],
        },
    )


def conclude(run: RunFolder, config: Configuration, recorder: Recorder, state: TrainingState) -> None:
    """The result, and the configuration that makes the same weights again."""
    final = recorder.validation
    assert final is not None
    write_toml(run.config, final_configuration(config, state))
    result: dict[str, Any] = {
        "validation_loss": final.loss,
        "bits_per_byte": final.bits_per_byte,
        "validation_tokens": final.tokens,
        "parameters": parameter_count(config.model),
        "steps": state.step,
        "tokens_seen": state.tokens,
        "steps_skipped": state.skipped,
        "epochs": state.step * config.training.batch_size / recorder.windows,
        "seconds_training": round(state.seconds, 1),
        "tokens_per_second": state.tokens / state.seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    write_json(run.result, result)


def final_configuration(config: Configuration, state: TrainingState) -> Configuration:
    """``config`` with the number of steps that the run really had."""
    return replace_values(config, {"training.steps": state.total})
