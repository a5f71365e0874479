"""Before the finetuning of an encoder-decoder on pairs of texts: the two splits, the base, rows of tokens, plan.

The sources of such a run are the base's run folder and then the tables, as on the command line. The tokenizer is the
base's. A source that is longer than the base reads loses its end, and the run says how many do.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch

from homespun.batches.answer_rows import AnswerRows, Cropped, Row, read_manifest
from homespun.batches.pair_rows import PairRows, row_of_pair
from homespun.common.errors import UsageError
from homespun.common.progress import Reporter
from homespun.dialogues.dialogue import Conversation
from homespun.models.settings import PairedConfig
from homespun.pipeline.base import base_stage
from homespun.pipeline.configuration import Choices
from homespun.pipeline.planning.facts_of_data import DialogueFacts
from homespun.pipeline.planning.finetuning import make_dialogue_plan
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.prepare_dialogues import (
    ENCODED_AT_ONCE,
    check,
    dialogue_stage,
    followed,
    room_of,
    rounded,
    rows_stage,
)
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.settled import Clock, Preparation, Ready, settle
from homespun.tokenizer.special import SEPARATOR
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.dial import Dial

PAIRS_IN_STEP = 16


def prepare_pairs(run: RunFolder, choices: Choices, dial: Dial | None, clock: Clock, reporter: Reporter) -> Ready:
    """Splits, base, rows, plan."""
    base, *files = map(Path, run.record()["sources"])
    shape = choices.config.model
    assert isinstance(shape, PairedConfig)
    dialogue_stage(run, files, choices.config.pairs, reporter)
    base_stage(run, base, reporter, with_separator)
    tokenizer, room = Tokenizer.load(run.tokenizer), room_of(shape)

    def rows_of(entries: Iterable[Conversation], cropped: Cropped) -> Iterator[Row]:
        return rows_of_sides(entries, tokenizer, room, cropped)

    rows_stage(run, choices.config.pairs, room, rows_of, reporter)
    splits = {split: PairRows(AnswerRows(run.rows, split), tokenizer.end_of_text) for split in ("train", "validation")}
    length = min(room, rounded(max(rows.longest for rows in splits.values())))
    choices = followed(choices, {"model.length": length}, len(splits["train"]), PAIRS_IN_STEP)
    facts = DialogueFacts(read_manifest(run.rows)["splits"]["validation"]["learned"])

    def make(device: torch.device) -> Plan:
        return make_dialogue_plan(choices, facts, device)

    return settle(run, choices, reporter, make)


def with_separator(tokenizer: Tokenizer) -> Tokenizer:
    """The same, if it can say where a source ends."""
    if SEPARATOR not in tokenizer.special_tokens:
        raise UsageError(f"the base's tokenizer has no token {SEPARATOR}, which closes a source; take another base")
    return tokenizer


def rows_of_sides(entries: Iterable[Conversation], tokenizer: Tokenizer, room: int, cropped: Cropped) -> Iterator[Row]:
    """A row each: the question is the source, the answer is the target."""
    separator, end = tokenizer.special_tokens[SEPARATOR], tokenizer.end_of_text
    waiting = iter(entries)
    while several := list(islice(waiting, ENCODED_AT_ONCE)):
        ids = tokenizer.encode_lists([message.content for one in several for message in one.messages])
        for source, target in zip(ids[::2], ids[1::2], strict=True):
            yield row_of_pair(source, target, separator, end, room, cropped)


FROM_PAIRS = Preparation(check("pairs"), prepare_pairs, "pairs")
