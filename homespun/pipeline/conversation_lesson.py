"""What an assistant learns, and from what: a base, and the run's own conversations; a few answers are shown meanwhile.

At the end it is asked the questions of the validation that have a short answer, and what the base thought of all the
answers is worked out beside it.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import nn

from homespun.batches.answer_rows import AnswerRows, verify_rows
from homespun.batches.conversations import conversation_rows
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.common.configuration import flatten
from homespun.dialogues.dialogue import Messages
from homespun.dialogues.storage import SPLITS, read_split
from homespun.finetuning.exact import ASKED, exact_answers, is_short
from homespun.inference.answer import answer
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.models.finetuned import Finetuned
from homespun.models.registry import build_model
from homespun.models.settings import AssistantConfig, FinetunedConfig, ModelConfig
from homespun.pipeline.assemble import Lesson
from homespun.pipeline.base import verify_base
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.made_with import made_with_dialogues
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import load_weights
from homespun.training.losses import Objective
from homespun.training.memory import validation_rows
from homespun.training.tasks import TASKS
from homespun.training.validation import exact_loss
from homespun.training.world import World

SHOWN, CHARACTERS_SHOWN = 4, 240
LONGEST_ANSWER = 64  # tokens, where a short one is expected
Say = Callable[[nn.Module, Messages, SamplingConfig], str]


def conversation_lesson(run: RunFolder, config: Configuration, world: World) -> Lesson:
    """The base, and rows of conversations."""
    training, shape = config.training, config.model
    assert isinstance(shape, AssistantConfig)
    body = checked_base(run, shape)
    rows = {
        split: conversation_rows(AnswerRows(run.rows, split), shape.positions_in_row, shape.packed) for split in SPLITS
    }
    at_once = max(world.size, validation_rows(shape, training))
    say = sayer(Tokenizer.load(run.tokenizer))

    def examine(model: nn.Module) -> dict[str, Any]:
        surest = SamplingConfig(temperature=0, maximum_tokens=LONGEST_ANSWER)
        found = exact_answers(
            read_split(run.conversations, "validation"), lambda messages: say(model, messages, surest)
        )
        device = next(model.parameters()).device
        base = Objective(Finetuned(shape, checked_base(run, shape)).to(device), TASKS[shape.task])
        before = exact_loss(base, every_row(rows["validation"], at_once), None, device, "fp32")
        return {"before": {"loss": before.loss, "tokens": before.tokens}} | ({"answers": found} if found else {})

    shown = questions(one.messages[:-1] for one in read_split(run.conversations, "validation"))
    return dialogue_lesson(run, config, world, Finetuned(shape, body), rows, shown, examine)


def dialogue_lesson(
    run: RunFolder, config: Configuration, world: World, model: Finetuned, rows: dict[str, Any],
    shown: dict[str, Messages], examine: Callable[[nn.Module], dict[str, Any]],
) -> Lesson:  # fmt: skip
    """Of all who learn to answer: ``rows`` of each split, and the questions that are ``shown`` with their answers."""
    training, shape = config.training, config.model
    at_once = max(world.size, validation_rows(shape, training))
    say = sayer(Tokenizer.load(run.tokenizer))
    return Lesson(
        model=model,
        task=TASKS[shape.task],
        batches=LikeLengthBatches(rows["train"], training.batch_size, training.seed, world.rank, world.size),
        validation=lambda: every_row(rows["validation"], at_once),
        validation_bytes=None,
        tokenizer_file=run.tokenizer,
        documents={"config.json": flatten(shape), "made_with.json": made_with_dialogues(run, config)},
        write=lambda model, prompt: "\n" + say(model, shown[prompt], config.sampling),
        prompts=list(shown),
        examine=examine,
    )


def checked_base(run: RunFolder, shape: FinetunedConfig) -> Any:
    """The base with its weights; nothing of the run is damaged."""
    verify_rows(run.rows)
    verify_base(run)
    body = build_model(shape.body)
    load_weights(run.base, body)
    return body


def sayer(tokenizer: Tokenizer) -> Say:
    """How a ``Finetuned`` model is asked."""

    def say(model: Any, messages: Messages, sampling: SamplingConfig) -> str:
        longest = max(1, model.config.body.context // 2)
        return answer(
            Engine(model.body),
            tokenizer,
            messages,
            replace(sampling, maximum_tokens=min(longest, sampling.maximum_tokens)),
        )

    return say


def seconds_of_answers(run: RunFolder, shape: ModelConfig, device: torch.device) -> float:
    """How long the examination may take here, by the second of two answers of the base, which does not know where to
    end one."""
    if not isinstance(shape, AssistantConfig):
        return 0.0
    short = list(islice(filter(is_short, read_split(run.conversations, "validation")), ASKED))
    if not short:
        return 0.0
    say, model = sayer(Tokenizer.load(run.tokenizer)), Finetuned(shape, checked_base(run, shape)).to(device).eval()
    surest, seconds = SamplingConfig(temperature=0, maximum_tokens=LONGEST_ANSWER), 0.0
    for _ in range(2):
        began = time.monotonic()
        say(model, short[0].messages[:-1], surest)
        seconds = time.monotonic() - began
    return len(short) * seconds


def questions(prompts: Any) -> dict[str, Messages]:
    """The first few, by their words."""
    return {" ".join(prompt[-1].content.split())[:CHARACTERS_SHOWN]: prompt for prompt in islice(prompts, SHOWN)}
