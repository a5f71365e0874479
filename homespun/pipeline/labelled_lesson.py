"""What a classifier learns, and from what: a base, and the run's own labelled texts; a few are shown while it learns.

At the end it is examined on the test, which nobody has looked at before, beside the traditional ways.
"""

from typing import Any

from torch import nn

from homespun.batches.labelled import Frame, LabelledRows
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.common.configuration import flatten
from homespun.finetuning.baseline import BASELINES
from homespun.finetuning.figures import MODEL, figures_of
from homespun.inference.classify import chances_of, classify_texts
from homespun.inference.images import in_words
from homespun.labelled.split import SPLITS
from homespun.labelled.storage import read_split, verify_labelled
from homespun.models.classifier import Classifier
from homespun.models.registry import build_model
from homespun.models.settings import ClassifierConfig
from homespun.pipeline.assemble import Lesson
from homespun.pipeline.base import verify_base
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.made_with import made_with_labelled
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import load_weights
from homespun.training.memory import validation_rows
from homespun.training.tasks import TASKS
from homespun.training.world import World

SHOWN, CHARACTERS_SHOWN = 4, 120
BATCHES_IN_POOL = 8  # few: sorted by length, rows are sorted by class as well, more or less


def labelled_lesson(run: RunFolder, config: Configuration, world: World) -> Lesson:
    """The base with a head, and texts with their classes."""
    verify_labelled(run.labelled)
    verify_base(run)
    training, shape = config.training, config.model
    assert isinstance(shape, ClassifierConfig)
    tokenizer = Tokenizer.load(run.tokenizer)
    frame = Frame.of(shape.body.summarized_at, shape.window, shape.windows, tokenizer)

    def rows_of(split: str) -> LabelledRows:
        found = read_split(run.labelled, split)
        return LabelledRows(tokenizer.encode_batch(found.texts), frame, found.classes)

    rows = {split: rows_of(split) for split in SPLITS}
    cropped = sum(found.cropped for found in rows.values())
    at_once = max(world.size, validation_rows(shape, training))
    body = build_model(shape.body)
    load_weights(run.base, body)
    held_back = read_split(run.labelled, "validation")
    shown = {
        f"{' '.join(text.split())[:CHARACTERS_SHOWN]} [{shape.labels[number]}]": text
        for text, number in zip(held_back.texts[:SHOWN], held_back.classes[:SHOWN].tolist(), strict=True)
    }

    def sort(model: nn.Module, prompt: str) -> str:
        (found,) = classify_texts(model, tokenizer, [shown[prompt]])
        return f": {in_words(found)}"

    def examine(model: nn.Module) -> dict[str, Any]:
        # Texts are read again here, so that training need not hold them.
        train, validation, test = (read_split(run.labelled, split) for split in SPLITS)
        told = {MODEL: chances_of(model, tokenizer, test.texts)}
        for name, learn in BASELINES.items():
            told[name] = learn(train, validation, shape.outputs)(test.texts)
        return {"test": figures_of(told, test.classes) | {"labels": list(shape.labels)}}

    return Lesson(
        model=Classifier(shape, body),
        task=TASKS[shape.task],
        batches=LikeLengthBatches(
            rows["train"], training.batch_size, training.seed, world.rank, world.size, BATCHES_IN_POOL
        ),
        validation=lambda: every_row(rows["validation"], at_once),
        validation_bytes=None,
        tokenizer_file=run.tokenizer,
        documents={"config.json": flatten(shape), "made_with.json": made_with_labelled(run, config)},
        write=sort,
        prompts=list(shown),
        unit="texts",
        left_out=f"of {cropped:,} texts only the first {frame.room} tokens are read" if cropped else "",
        examine=examine,
    )
