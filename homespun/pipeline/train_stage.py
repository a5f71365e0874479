"""The training stage of a run: shards and a configuration in; checkpoints, metrics, samples, result out.

Says what is learned and from what (a ``Lesson``, by what the model reads); ``homespun.pipeline.assemble`` puts the
parts of a training together, and the one loop runs, in one process or as one of several.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from homespun.batches.sources import SOURCES, Asked
from homespun.common.configuration import flatten, replace_values
from homespun.common.files import write_json
from homespun.common.progress import Reporter
from homespun.inference.writers import WRITERS
from homespun.models.arithmetic import (
    matrix_parameters,
    parameter_count,
    trained_parameters,
    training_flops_per_token,
)
from homespun.models.registry import build_model
from homespun.models.settings import TextModelConfig
from homespun.models.stored import shapes_of
from homespun.pipeline.assemble import Lesson, assemble, prepare_process
from homespun.pipeline.configuration import Configuration, write_toml
from homespun.pipeline.continued_lesson import continued_lesson
from homespun.pipeline.conversation_lesson import conversation_lesson
from homespun.pipeline.environment import peak_memory_bytes
from homespun.pipeline.image_lesson import image_lesson
from homespun.pipeline.labelled_lesson import labelled_lesson
from homespun.pipeline.made_with import made_with
from homespun.pipeline.pair_lesson import pair_lesson
from homespun.pipeline.preference_lesson import preference_lesson
from homespun.pipeline.recorder import Recorder
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.shards_of_run import check_shards
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.best import ends_early
from homespun.training.checkpoint import TrainingState
from homespun.training.loop import train
from homespun.training.memory import validation_rows
from homespun.training.pace import Pace
from homespun.training.settings import TrainingConfig
from homespun.training.tasks import TASKS
from homespun.training.validation import ExactLoss
from homespun.training.world import World


def train_run(run: RunFolder, config: Configuration, pace: Pace, reporter: Reporter, world: World = World()) -> bool:
    """Train to the end, or until asked to stop; ``pace`` says how many steps.

    True: finished, ``result.json`` is written. False: saved, to be continued.
    """
    place = prepare_process(config.training, reporter, world)
    with contextlib.ExitStack() as stack:
        lesson = LESSONS[config.model.reads](run, config, place.world)
        if lesson.left_out and world.is_first:
            reporter.warn(lesson.left_out)
        write_model_record(run, config, lesson.model)
        training_run, recorder = assemble(run, config, lesson, place, pace, reporter, stack)
        finished = train(training_run)
        examined: dict[str, Any] = {}
        if finished:
            recorder.sampled(training_run.state)
            if (model := recorder.model()) is not None:  # every process helps to bring it together, the first has it
                examined = lesson.examine(model)
    if finished and isinstance(recorder, Recorder):
        conclude(run, config, recorder.validation, lesson, training_run.state, examined)
    return finished


def pretraining(run: RunFolder, config: Configuration, world: World) -> Lesson:
    """A new model of the configured shape, and the run's own tokens."""
    check_shards(run.tokens, run.tokenizer)
    training, shape = config.training, config.model
    assert isinstance(shape, TextModelConfig)
    tokenizer = Tokenizer.load(run.tokenizer)
    asked = Asked(run.tokens, shape.context, training.batch_size, training.seed, world.share, world.shares,
                  tokenizer.end_of_text, tokenizer.special_tokens, model=shape)  # fmt: skip
    source = SOURCES[shape.task]
    rows = max(world.shares, validation_rows(shape, training))
    return Lesson(
        model=build_model(shape),
        task=TASKS[shape.task],
        batches=source.training(asked),
        validation=lambda: source.validation(replace(asked, rows=rows)),
        validation_bytes=source.text_bytes(asked, tokenizer) if shape.spells_text else None,
        tokenizer_file=run.tokenizer,
        documents={"config.json": flatten(config.model), "made_with.json": made_with(run, config)},
        write=lambda model, prompt: WRITERS[shape.task](model, tokenizer, prompt, config.sampling),
        prompts=source.prompts(asked, tokenizer),
        left_out=source.left_out(asked),
        baseline=source.baseline(asked),
    )


LESSONS: dict[str, Callable[[RunFolder, Configuration, World], Lesson]] = {
    "text": pretraining,
    "images": image_lesson,
    "labelled texts": labelled_lesson,
    "conversations": conversation_lesson,
    "pairs": pair_lesson,
    "preferences": preference_lesson,
    "texts of a field": continued_lesson,
}


def write_model_record(run: RunFolder, config: Configuration, model: torch.nn.Module) -> None:
    """``model.json``: what the model is made of, for people and the report."""
    write_json(
        run.path / "model.json",
        {
            "parameters": parameter_count(config.model),
            "parameters_trained": trained_parameters(config.model),
            "parameters_without_embeddings": matrix_parameters(config.model),
            "flops_per_token_training": training_flops_per_token(config.model),
            "architecture": flatten(config.model),
            "task": config.model.task,
            "target": config.model.target,
            "spells_text": config.model.spells_text,
            "table": [
                {"name": name, "shape": list(shape), "parameters": shape.numel()}
                for name, shape in shapes_of(model).items()
            ],
        },
    )


def conclude(
    run: RunFolder,
    config: Configuration,
    final: ExactLoss | None,
    lesson: Lesson,
    state: TrainingState,
    examined: dict[str, Any],
) -> None:
    """The result, with what else was found of the model, and the configuration that makes the same weights again."""
    assert final is not None
    write_toml(run.config, final_configuration(config, state))
    result: dict[str, Any] = {
        "validation_loss": final.loss,
        "bits_per_byte": final.bits_per_byte,
        **{f"validation_{name}": value for name, value in (final.measures | lesson.baseline).items()},
        "validation_tokens": final.tokens,
        "parameters": parameter_count(config.model),
        "steps": state.step,
        "tokens_seen": state.tokens,
        "steps_skipped": state.skipped,
        "kept": kept(config.training, state),
        "epochs": state.step * config.training.batch_size / lesson.batches.windows,
        "seconds_training": round(state.seconds, 1),
        "tokens_per_second": state.tokens / state.seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        **examined,
    }
    write_json(run.result, result)


def kept(training: TrainingConfig, state: TrainingState) -> dict[str, Any]:
    """Which weights stay, and why; ``loss``: by which the best were chosen, in the precision of training."""
    why = "best" if training.keep == "best" else "average" if training.average_decay else "last"
    return {
        "why": why,
        "step": state.best_at if why == "best" else state.step,
        "loss": state.best_loss if why == "best" else None,
        "ended_early": ends_early(state, training) and state.step < state.total,
        "planned_steps": state.total,
    }


def final_configuration(config: Configuration, state: TrainingState) -> Configuration:
    """``config`` with the number of steps that the run really had."""
    return replace_values(config, {"training.steps": state.total})
