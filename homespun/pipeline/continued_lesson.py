"""What a continued pretraining learns, and from what: a base, a field's tokens, and general ones among them.

At the end it is measured what the base knew of both and what the model knows now: what was learned, and what was
forgotten.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from torch import nn

from homespun.batches.batch import Batch
from homespun.batches.next_token import NextTokenBatches
from homespun.batches.replay import WithReplay
from homespun.batches.shards import TokenShards
from homespun.batches.sources import SOURCES, Asked, Batches
from homespun.common.configuration import flatten
from homespun.inference.writers import WRITERS
from homespun.models.finetuned import Finetuned
from homespun.models.registry import build_model
from homespun.models.settings import ContinuedConfig
from homespun.pipeline.assemble import Lesson
from homespun.pipeline.base import verify_base
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.made_with import made_with_field
from homespun.pipeline.prepare_field import TASK
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.shards_of_run import check_shards
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import load_weights
from homespun.training.losses import NextToken, Objective
from homespun.training.memory import validation_rows
from homespun.training.tasks import TASKS
from homespun.training.validation import exact_loss
from homespun.training.world import World


def continued_lesson(run: RunFolder, config: Configuration, world: World) -> Lesson:
    """The base, and windows of both kinds of text."""
    training, shape = config.training, config.model
    assert isinstance(shape, ContinuedConfig)
    verify_base(run)
    tokenizer = Tokenizer.load(run.tokenizer)
    source, at_once = SOURCES[TASK], max(world.shares, validation_rows(shape, training))
    parts = {"field": run, "general": run.replay} if config.replay.sources else {"field": run}
    for part in parts.values():
        check_shards(part.tokens, run.tokenizer)
    asked = {
        name: Asked(part.tokens, shape.positions_in_row, at_once, end_of_text=tokenizer.end_of_text)
        for name, part in parts.items()
    }
    held_back: dict[str, Callable[[], Iterable[Batch]]] = {
        name: lambda one=one: source.validation(one) for name, one in asked.items()
    }
    sizes = {name: source.text_bytes(one, tokenizer) for name, one in asked.items()}

    def base() -> Any:
        body = build_model(shape.body)
        load_weights(run.base, body)
        return body

    def examine(model: Any) -> dict[str, Any]:
        device = next(model.parameters()).device
        before, found = base().to(device), {}
        for name, make in held_back.items():
            found[name] = {
                when: asdict(exact_loss(Objective(one, NextToken()), make(), sizes[name], device, "fp32"))
                for when, one in (("before", before), ("after", model.body))
            }
        return {"continued": found}

    def write(model: nn.Module, prompt: str) -> str:
        body = model.body
        assert isinstance(body, nn.Module)
        return WRITERS[TASK](body, tokenizer, prompt, config.sampling)

    return Lesson(
        model=Finetuned(shape, base()),
        task=TASKS[shape.task],
        batches=batches_of(run, config, world),
        validation=held_back["field"],
        validation_bytes=sizes["field"],
        tokenizer_file=run.tokenizer,
        documents={"config.json": flatten(shape), "made_with.json": made_with_field(run, config)},
        write=write,
        prompts=source.prompts(asked["field"], tokenizer),
        examine=examine,
    )


def batches_of(run: RunFolder, config: Configuration, world: World) -> Batches:
    """This process's rows of windows of the field and, if there are any, of general text."""
    training, context = config.training, config.model.positions_in_row
    general_rows = config.replay.rows(training.batch_size)

    def windows(part: RunFolder, rows: int, rank: int = 0, processes: int = 1) -> NextTokenBatches:
        shards = TokenShards(part.tokens, "train")
        return NextTokenBatches(shards, context, rows, training.seed, rank, processes)

    if not general_rows:
        return windows(run, training.batch_size, world.share, world.shares)
    field, general = windows(run, training.batch_size - general_rows), windows(run.replay, general_rows)
    return WithReplay(field, general, world.share, world.shares)
