"""Before a finetuning on conversations or preferences: the two splits, the base, rows of tokens, plan.

The sources of such a run are the base's run folder and then the files, as on the command line. Rows are made once, as
long as the base can read, so that training reads numbers from disk and needs no memory for texts.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from homespun.batches.answer_rows import (
    AnswerRows,
    Cropped,
    Row,
    read_manifest,
    row_of,
    write_manifest,
    write_rows,
)
from homespun.batches.conversations import conversation_rows
from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import atomic_folder
from homespun.common.progress import Reporter
from homespun.dialogues.dialogue import ASSISTANT, Conversation, Message, Preference
from homespun.dialogues.settings import DialogueConfig
from homespun.dialogues.storage import SPLITS, read_split, write_dialogues
from homespun.dialogues.storage import read_manifest as read_dialogue_manifest
from homespun.models.settings import AssistantConfig, FinetunedConfig
from homespun.pipeline.base import base_stage
from homespun.pipeline.configuration import Choices, Configuration
from homespun.pipeline.conversation_lesson import seconds_of_answers
from homespun.pipeline.planning.facts_of_data import DialogueFacts
from homespun.pipeline.planning.finetuning import make_dialogue_plan
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.settled import Clock, Preparation, Ready, settle
from homespun.tokenizer.chat import shortened, turns, with_chat
from homespun.tokenizer.special import END_OF_TURN, START_OF_TURN
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.dial import Dial

LENGTHS = 8  # the longest row is rounded up to a multiple of this
LONGEST = 1024  # tokens of a row, unless the user wants more: a context of 100,000 is not filled by conversations
ENCODED_AT_ONCE = 1000
CONVERSATIONS_IN_STEP, PAIRS_IN_STEP = 16, 8
# By what is learned and what is trained: the highest rate at a width of 768; it grows as 1 / width.
RATES = {
    "conversations": {"full": 1.5e-4, "last-layers": 5e-4, "lora": 1.5e-3},
    "pairs": {"full": 2e-4, "last-layers": 5e-4, "lora": 1e-3},
    "preferences": {"full": 1e-5, "last-layers": 3e-5, "lora": 1e-4},
}
USUAL_WIDTH, NARROW = 768, 64  # below the second nothing was measured: rates stay
LEFT_OUT = {
    "malformed": "malformed",
    "empty": "with an empty message",
    "alike": "with the same answer as chosen and as rejected",
    "duplicates": "told twice",
    "in_validation": "with a question of the validation",
}
CROPPED = {
    "sources": "have the end of their source cut off",
    "shortened": "lose their oldest messages",
    "cut": "have their last answer cut",
    "left_out": "have no room for an answer and are left out",
}


def prepare_dialogues(run: RunFolder, choices: Choices, dial: Dial | None, clock: Clock, reporter: Reporter) -> Ready:
    """Splits, base, rows, plan."""
    base, *files = map(Path, run.record()["sources"])
    kind = choices.config.model.reads
    config: DialogueConfig = getattr(choices.config, kind)
    dialogue_stage(run, files, config, reporter)
    base_stage(run, base, reporter, with_chat)
    tokenizer = Tokenizer.load(run.tokenizer)
    choices = choices.with_values({"model.body.vocabulary_size": tokenizer.vocabulary_size}, "plan")
    shape = choices.config.model
    assert isinstance(shape, FinetunedConfig)
    room = room_of(shape)
    make_rows = rows_of_pairs if choices.config.conversations.source_column else ROWS[kind]
    everything = choices.config.conversations.loss == "all"

    def rows_of(entries: Iterable[Any], cropped: Cropped) -> Iterator[Row]:
        return make_rows(entries, tokenizer, room, everything, cropped)

    rows_stage(run, config, room, rows_of, reporter)
    choices, facts = FOLLOW[kind](choices, run, tokenizer)

    def make(device: torch.device) -> Plan:
        seconds = seconds_of_answers(run, choices.config.model, device) if dial is not None else 0.0
        return make_dialogue_plan(choices, replace(facts, seconds_of_answers=seconds), device, dial, clock.seconds())

    return settle(run, choices, reporter, make)


def dialogue_stage(run: RunFolder, files: list[Path], config: DialogueConfig, reporter: Reporter) -> None:
    """The two splits, as text."""
    folder = run.path / config.section
    if not (folder / "manifest.json").exists():
        write_dialogues(files, config, folder)
    manifest = read_dialogue_manifest(folder)
    train, validation = (manifest["splits"][split]["entries"] for split in SPLITS)
    left_out = counted(manifest["left_out"], LEFT_OUT)
    reporter.say(
        f"{config.section}: {train:,} to train on, {validation:,} for validation"
        + (f"; left out: {left_out}" if left_out else "")
    )


def counted(counts: dict[str, int], words: dict[str, str]) -> str:
    """Those that there are, in words."""
    return ", ".join(f"{counts[kind]:,} {said}" for kind, said in words.items() if counts.get(kind))


def room_of(shape: FinetunedConfig) -> int:
    """Tokens of the longest row."""
    return shape.length or (LONGEST if shape.body.endless else min(shape.body.context, LONGEST))


def rows_stage(
    run: RunFolder,
    config: DialogueConfig,
    room: int,
    rows_of: Callable[[Iterable[Any], Cropped], Iterator[Row]],
    reporter: Reporter,
) -> None:
    """The splits as tokens, in rows whose inputs have ``room`` tokens."""
    if not (run.rows / "manifest.json").exists():
        cropped = Cropped()
        with atomic_folder(run.rows) as folder:
            splits = {}
            for split in SPLITS:
                splits[split] = write_rows(
                    rows_of(read_split(run.path / config.section, split), cropped), folder, split
                )
                if not splits[split]["rows"]:
                    raise HomespunError(
                        f"no answer for {split} has room in {room} tokens beside its question; "
                        "take a base with a longer context"
                    )
            write_manifest(folder, splits, cropped)
    if cut := counted(read_manifest(run.rows)["cropped"], CROPPED):
        reporter.say(f"longer than {room} tokens: {cut}")


def rows_of_conversations(
    entries: Iterable[Conversation], tokenizer: Tokenizer, room: int, everything: bool, cropped: Cropped
) -> Iterator[Row]:
    """A row each. Its last token is no input."""
    waiting = iter(entries)
    while several := list(islice(waiting, ENCODED_AT_ONCE)):
        said = iter(turns(tokenizer, [message for one in several for message in one.messages]))
        for one in several:
            row = row_of([next(said) for _ in one.messages], room + 1, everything, cropped)
            if row is not None:
                yield row


def rows_of_pairs(
    entries: Iterable[Conversation], tokenizer: Tokenizer, room: int, everything: bool, cropped: Cropped
) -> Iterator[Row]:
    """The same of a source and its target: a source that is too long loses its end, or few would have room."""
    waiting = iter(entries)
    while several := list(islice(waiting, ENCODED_AT_ONCE)):
        said = turns(tokenizer, [message for one in several for message in one.messages])
        for question, answer in zip(said[::2], said[1::2], strict=True):
            # At least half of the row is for the source, as it is when the model is asked.
            answered = len(answer.before) + min(len(answer.said), (room + 1) // 2)
            fitting = shortened(question, room + 1 - answered)
            cropped.sources += fitting is not question
            row = row_of([fitting, answer], room + 1, everything, cropped)
            if row is not None:
                yield row


def rows_of_preferences(
    entries: Iterable[Preference], tokenizer: Tokenizer, room: int, everything: bool, cropped: Cropped
) -> Iterator[Row]:
    """The chosen answer and then the rejected one, each behind the question; both, or none where one has no room."""
    for one in entries:
        answers = (Message(ASSISTANT, one.chosen), Message(ASSISTANT, one.rejected))
        pair = [row_of(turns(tokenizer, [*one.prompt, said]), room, False, cropped) for said in answers]
        found = [row for row in pair if row is not None]
        if len(found) == len(pair):
            yield from found


ROWS: dict[str, Callable[[Any, Tokenizer, int, bool, Cropped], Iterator[Row]]] = {
    "conversations": rows_of_conversations,
    "preferences": rows_of_preferences,
}


def follow_conversations(choices: Choices, run: RunFolder, tokenizer: Tokenizer) -> tuple[Choices, DialogueFacts]:
    """What follows from the conversations, where nobody has set it."""
    shape = choices.config.model
    assert isinstance(shape, AssistantConfig)
    rows = AnswerRows(run.rows, "train")
    packed = shape.body.shares_rows if choices.is_open("model.packed") else shape.packed
    longest = rounded(int(max(rows.lengths.max(), AnswerRows(run.rows, "validation").lengths.max())) - 1)
    length = room_of(shape) if packed else min(longest, room_of(shape))
    shared = len(conversation_rows(rows, length, packed))
    batch_size = max(1, round(CONVERSATIONS_IN_STEP * shared / len(rows)))
    values = {"model.packed": packed, "model.length": length} | learned_tokens(shape, tokenizer)
    choices = followed(choices, values, shared, batch_size)
    return choices, DialogueFacts(read_manifest(run.rows)["splits"]["validation"]["learned"])


def follow_preferences(choices: Choices, run: RunFolder, tokenizer: Tokenizer) -> tuple[Choices, DialogueFacts]:
    """The same for pairs of answers."""
    shape = choices.config.model
    assert isinstance(shape, FinetunedConfig)
    rows, held_back = AnswerRows(run.rows, "train"), AnswerRows(run.rows, "validation")
    longest = rounded(int(max(rows.lengths.max(), held_back.lengths.max())))
    values = {"model.length": min(longest, room_of(shape))} | learned_tokens(shape, tokenizer)
    choices = followed(choices, values, len(rows) // 2, PAIRS_IN_STEP)
    return choices, DialogueFacts(len(held_back) // 2)


FOLLOW: dict[str, Callable[[Choices, RunFolder, Tokenizer], tuple[Choices, DialogueFacts]]] = {
    "conversations": follow_conversations,
    "preferences": follow_preferences,
}


def rounded(length: int) -> int:
    """Up to a multiple of ``LENGTHS``."""
    return -(-length // LENGTHS) * LENGTHS


def learned_tokens(shape: FinetunedConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """The control tokens, where what is trained would not reach their rows."""
    if shape.trained == "full":
        return {}
    return {"model.learned_tokens": (tokenizer.special_tokens[START_OF_TURN], tokenizer.special_tokens[END_OF_TURN])}


def followed(choices: Choices, values: dict[str, Any], rows: int, batch_size: int) -> Choices:
    """With ``values``, and how to train on so many rows, where nobody has set it."""
    config, shape = choices.config, choices.config.model
    assert isinstance(shape, FinetunedConfig)
    if not choices.is_open("training.batch_size"):
        batch_size = config.training.batch_size
    epoch = max(1, -(-rows // batch_size))
    steps = max(1, round(getattr(config, shape.reads).epochs * epoch))
    if not choices.is_open("training.steps"):
        steps = config.training.steps
    values = values | {
        "training.batch_size": batch_size,
        "training.steps": steps,
        "training.warmup_steps": steps // 10,
        "training.evaluate_every": -(-epoch // 2),
        "training.sample_every": -(-epoch // 2),
        "training.optimizer": "adamw",
        "training.learning_rate": RATES[shape.reads][shape.trained] * max(1.0, USUAL_WIDTH / max(NARROW, shape.width)),
    }
    return choices.with_values({key: value for key, value in values.items() if choices.is_open(key)}, "plan")


def check(command: str) -> Callable[[list[str], Configuration], None]:
    """A base and a file at least."""

    def check_sources(sources: list[str], config: Configuration) -> None:
        if not sources or not (Path(sources[0]) / "run.json").exists():
            raise UsageError(f"this begins with a trained model: homespun finetune {command} BASE FILE …")
        if len(sources) < 2:
            raise UsageError("no FILE: name a JSON or JSON-lines file")

    return check_sources


FROM_CONVERSATIONS = Preparation(check("instructions"), prepare_dialogues, "conversations")
FROM_PREFERENCES = Preparation(check("preferences"), prepare_dialogues, "preferences")
