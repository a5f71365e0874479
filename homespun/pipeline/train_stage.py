"""The training stage of a run: shards and a configuration in; checkpoints, metrics, samples, result out.

Puts the parts together (model, optimizer, batches, pace, recorder), finds the newest checkpoint and
lets the one loop run. All that is special to a run folder is here; the loop knows nothing of it.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from homespun.batches.next_token import NextTokenBatches, validation_batches
from homespun.batches.shards import TokenShards, read_manifest, verify_shards
from homespun.common.configuration import flatten, replace_values
from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import write_json
from homespun.common.progress import Reporter
from homespun.models.arithmetic import matrix_parameters, parameter_count, training_flops_per_token
from homespun.models.gpt import GPT
from homespun.models.registry import build_model
from homespun.pipeline.configuration import Configuration, write_toml
from homespun.pipeline.environment import peak_memory_bytes
from homespun.pipeline.recorder import Recorder
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import (
    TrainingState,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from homespun.training.device import choose_device, set_threads
from homespun.training.interruption import Interruption
from homespun.training.loop import TrainingRun, train
from homespun.training.losses import NextToken
from homespun.training.optimizer import build_optimizer
from homespun.training.pace import Pace
from homespun.training.validation import ExactLoss, exact_loss

VALIDATION_TOKENS_AT_ONCE = 8192
PROMPT_CHARACTERS = 32


def train_run(run: RunFolder, config: Configuration, pace: Pace, reporter: Reporter) -> bool:
    """Train to the end, or until asked to stop; ``pace`` says how many steps.

    True: finished, ``result.json`` is written. False: saved, to be continued.
    """
    check_shards(run)
    training = config.training
    device = choose_device(training.device)
    threads = set_threads(training.threads)
    torch.manual_seed(training.seed)
    be_deterministic(device)
    tokenizer = Tokenizer.load(run.tokenizer)
    model = build_model(config.model).to(device)
    optimizer = build_optimizer(model, training)
    batches = NextTokenBatches(
        TokenShards(run.tokens, "train"), config.model.context, training.batch_size, training.seed
    )
    state = restore(run, model, optimizer, reporter) or TrainingState(
        0, training.steps, 0, 0.0, threads, training.precision
    )
    if state.threads != threads:
        reporter.warn(
            f"the run began with {state.threads} threads and goes on with {threads}: "
            "the weights will not be equal to the last bit"
        )
    run.forget_after(state.step, state.total)
    write_model_record(run, config, model)
    task, save = NextToken(), saver(run, config, model, optimizer, reporter)

    def validate(precision: str) -> ExactLoss:
        shards = TokenShards(run.tokens, "validation")
        text_bytes = read_manifest(run.tokens)["splits"]["validation"]["bytes"]
        rows = max(1, VALIDATION_TOKENS_AT_ONCE // config.model.context)
        windows = validation_batches(shards, config.model.context, rows)
        return exact_loss(model, task, windows, text_bytes, device, precision)

    with Interruption() as interruption, reporter.stage("training", state.total, "steps") as stage:
        prompts = [first_words(run, tokenizer), ""]  # the first is shown while training
        recorder = Recorder(run, model, tokenizer, batches, config.sampling, prompts, reporter, stage)
        training_run = TrainingRun(
            model, optimizer, task, batches.batch, validate, save, training, pace, recorder, device, state,
            lambda: interruption.requested,
        )  # fmt: skip
        finished = train(training_run)
    if finished:
        conclude(run, config, recorder, state)
    return finished


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


def restore(run: RunFolder, model: GPT, optimizer: torch.optim.Optimizer, reporter: Reporter) -> TrainingState | None:
    """The state of the newest whole checkpoint, loaded; None if the run has not trained yet."""
    checkpoint = newest_checkpoint(run.checkpoints, reporter.warn)
    if checkpoint is None:
        return None
    state = load_checkpoint(checkpoint, model, optimizer)
    reporter.say(f"continuing at step {state.step:,} of {state.total:,} ({checkpoint})")
    return state


def saver(
    run: RunFolder, config: Configuration, model: GPT, optimizer: torch.optim.Optimizer, reporter: Reporter
) -> Callable[[TrainingState], None]:
    """Saves checkpoints; a full disk costs a warning while training goes on, and is an error at the end."""
    model_config = flatten(config.model)

    def save(state: TrainingState) -> None:
        keep = config.training.keep_checkpoints
        try:
            save_checkpoint(run.checkpoints, model, optimizer, state, model_config, run.tokenizer, keep)
        except HomespunError as error:
            if state.step >= state.total:
                raise
            reporter.warn(f"no checkpoint at step {state.step:,}: {error}; training goes on")

    return save


def first_words(run: RunFolder, tokenizer: Tokenizer) -> str:
    """The beginning of the validation text: a prompt the model has never seen."""
    shards = TokenShards(run.tokens, "validation")
    text = tokenizer.decode(shards.read(1, min(PROMPT_CHARACTERS, len(shards) - 1)).tolist())[:PROMPT_CHARACTERS]
    words = text.rsplit(" ", 1)[0] if " " in text.strip() else text
    return words.strip()


def write_model_record(run: RunFolder, config: Configuration, model: GPT) -> None:
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
    """Last samples, the result, and the configuration that makes the same weights again."""
    recorder.sampled(state)
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
        "epochs": state.tokens / (recorder.batches.windows * config.model.context),
        "seconds_training": round(state.seconds, 1),
        "tokens_per_second": state.tokens / state.seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    write_json(run.result, result)


def final_configuration(config: Configuration, state: TrainingState) -> Configuration:
    """``config`` with the number of steps that the run really had."""
    return replace_values(config, {"training.steps": state.total, "training.threads": state.threads})
