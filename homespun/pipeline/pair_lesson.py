"""What an encoder-decoder learns that is finetuned, and from what: a base, and the run's own pairs of texts."""

from typing import Any

from torch import nn

from homespun.batches.answer_rows import AnswerRows
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.batches.pair_rows import PairRows
from homespun.batches.sources import bytes_of_targets
from homespun.common.configuration import flatten
from homespun.dialogues.storage import SPLITS, read_split
from homespun.inference.writers import WRITERS
from homespun.models.finetuned import Finetuned
from homespun.models.settings import PairedConfig
from homespun.pipeline.assemble import Lesson
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.conversation_lesson import checked_base, questions
from homespun.pipeline.made_with import made_with_dialogues
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.memory import validation_rows
from homespun.training.tasks import TASKS
from homespun.training.world import World


def pair_lesson(run: RunFolder, config: Configuration, world: World) -> Lesson:
    """The base, and rows of pairs."""
    training, shape = config.training, config.model
    assert isinstance(shape, PairedConfig)
    body, tokenizer = checked_base(run, shape), Tokenizer.load(run.tokenizer)
    rows = {split: PairRows(AnswerRows(run.rows, split), tokenizer.end_of_text) for split in SPLITS}
    at_once = max(world.size, validation_rows(shape, training))
    shown = questions(one.messages[:1] for one in read_split(run.pairs, "validation"))

    def write(model: nn.Module, prompt: str) -> str:
        trained: Any = model
        return WRITERS[shape.body.task](trained.body, tokenizer, shown[prompt][0].content, config.sampling)

    return Lesson(
        model=Finetuned(shape, body),
        task=TASKS[shape.task],
        batches=LikeLengthBatches(rows["train"], training.batch_size, training.seed, world.rank, world.size),
        validation=lambda: every_row(rows["validation"], at_once),
        validation_bytes=bytes_of_targets(every_row(rows["validation"], at_once), tokenizer),
        tokenizer_file=run.tokenizer,
        documents={"config.json": flatten(shape), "made_with.json": made_with_dialogues(run, config)},
        write=write,
        prompts=list(shown),
    )
