"""What a model of images learns, and from what: the run's own images; a few are shown to it while it learns."""

from dataclasses import replace

from torch import nn

from homespun.batches.sources import SOURCES, Asked
from homespun.common.configuration import flatten
from homespun.images.shards import ImageShards, verify_images
from homespun.inference.images import classify, in_words
from homespun.models.registry import build_model
from homespun.models.settings import ViTConfig
from homespun.pipeline.assemble import Lesson
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.made_with import made_with_images
from homespun.pipeline.run_folder import RunFolder
from homespun.training.memory import validation_rows
from homespun.training.tasks import TASKS
from homespun.training.world import World

SHOWN = 4


def image_lesson(run: RunFolder, config: Configuration, world: World) -> Lesson:
    """A new model of the configured shape, and the run's own images."""
    verify_images(run.images)
    training, shape = config.training, config.model
    assert isinstance(shape, ViTConfig)
    asked = Asked(run.images, shape.positions_in_row, training.batch_size, training.seed, world.share, world.shares,
                  shift=config.images.shift)  # fmt: skip
    rows = max(world.shares, validation_rows(shape, training))
    source, held_back = SOURCES[shape.task], ImageShards(run.images, "validation")
    shown = {
        f"validation image {number}, {shape.labels[held_back.classes[number]]}": held_back.pixels[number]
        for number in range(min(SHOWN, len(held_back)))
    }

    def name(model: nn.Module, prompt: str) -> str:
        (found,) = classify(model, shown[prompt][None])
        return f": {in_words(found)}"

    return Lesson(
        model=build_model(shape),
        task=TASKS[shape.task],
        batches=source.training(asked),
        validation=lambda: source.validation(replace(asked, rows=rows)),
        validation_bytes=None,
        tokenizer_file=None,
        documents={"config.json": flatten(shape), "made_with.json": made_with_images(run, config)},
        write=name,
        prompts=list(shown),
        unit="images",
    )
