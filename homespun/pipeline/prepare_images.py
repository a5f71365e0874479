"""Before the training of a model of images: shards of images, plan."""

from typing import Any

import torch

from homespun.common.errors import UsageError
from homespun.common.progress import Reporter
from homespun.images.read import find_files, read_images
from homespun.images.settings import ImagesConfig
from homespun.images.shards import read_manifest, write_images
from homespun.pipeline.configuration import Choices, Configuration
from homespun.pipeline.planning.facts_of_data import ImageFacts
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.planning.pretraining import make_image_plan
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.settled import Clock, Preparation, Ready, settle
from homespun.training.dial import Dial


def prepare_images(run: RunFolder, choices: Choices, dial: Dial | None, clock: Clock, reporter: Reporter) -> Ready:
    """Shards, plan."""
    manifest = images_stage(run, run.record()["sources"], choices.config.images, reporter)
    choices = follow_images(choices, manifest)
    facts = ImageFacts(manifest["splits"]["validation"]["images"])

    def make(device: torch.device) -> Plan:
        return make_image_plan(choices, dial, facts, device, clock.seconds())

    return settle(run, choices, reporter, make)


def images_stage(run: RunFolder, sources: list[str], config: ImagesConfig, reporter: Reporter) -> dict[str, Any]:
    """Shards of both splits; their manifest."""
    if not (run.images / "manifest.json").exists():
        total = sum(path.stat().st_size for path in find_files(sources))
        with reporter.stage("reading images", total, "bytes") as stage:
            write_images(read_images(sources, stage.advance), run.images, config)
    manifest = read_manifest(run.images)
    reporter.say(describe_images(manifest))
    return manifest


def describe_images(manifest: dict[str, Any]) -> str:
    """One line for people."""
    train, validation = (manifest["splits"][split]["images"] for split in ("train", "validation"))
    return (
        f"images: {train:,} to train on, {validation:,} held back for validation; "
        f"{manifest['image_size']} x {manifest['image_size']} pixels, {len(manifest['labels']):,} classes"
    )


def follow_images(choices: Choices, manifest: dict[str, Any]) -> Choices:
    """The sizes of the model that are those of the images; who has named another one hears of it."""
    values = {
        "model.image_size": manifest["image_size"],
        "model.channels": manifest["channels"],
        "model.classes": len(manifest["labels"]),
        "model.labels": tuple(manifest["labels"]),
    }
    for key, value in values.items():
        asked = getattr(choices.config.model, key.removeprefix("model."))
        if choices.origins.get(key) == "command line" and asked != value:
            raise UsageError(f"{key} is {asked}, and that of the images is {value}; leave it out: it follows them")
    return choices.with_values(values, "plan")


def check_sources(sources: list[str], config: Configuration) -> None:
    """There are files."""
    find_files(sources)


FROM_IMAGES = Preparation(check_sources, prepare_images, "images")
