"""What a checkpoint was made with, and whether a run may go on from it.

Configuration, data and tokenizer stand in each checkpoint as ``made_with.json``. A run that goes on must have the
same, or the result would be neither the one run nor the other; what differs is said key by key.
"""

from pathlib import Path
from typing import Any

from homespun.batches.shards import read_manifest
from homespun.common.configuration import flatten
from homespun.common.errors import UsageError
from homespun.common.files import read_json
from homespun.images.shards import read_manifest as read_image_manifest
from homespun.labelled.storage import read_manifest as read_labelled_manifest
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer

MOST_DIFFERENCES_SHOWN = 5


def made_with(run: RunFolder, config: Configuration) -> dict[str, Any]:
    """The record: the keys of model and training, the checksum of each token shard, the identity of the tokenizer."""
    manifest = read_manifest(run.tokens)
    return record(config, ("model.", "training."), manifest, {"identity": manifest["tokenizer"]})


def made_with_images(run: RunFolder, config: Configuration) -> dict[str, Any]:
    """The same of a run that learns from images: their keys too, and no tokenizer."""
    return record(config, ("images.", "model.", "training."), read_image_manifest(run.images), {})


def made_with_labelled(run: RunFolder, config: Configuration) -> dict[str, Any]:
    """The same of a run that sorts texts; its base belongs to its data."""
    tokenizer = {"identity": Tokenizer.load(run.tokenizer).identity()}
    made = record(config, ("labelled.", "model.", "training."), read_labelled_manifest(run.labelled), tokenizer)
    return made | {"data": made["data"] | {"base": read_json(run.base / "manifest.json")["sha256"]}}


def record(
    config: Configuration, sections: tuple[str, ...], manifest: dict[str, Any], tokenizer: dict[str, Any]
) -> dict[str, Any]:
    """The three parts; ``manifest``: of shards."""
    flat = {key: value for key, value in flatten(config).items() if key.startswith(sections)}
    shards = {shard["file"]: shard["sha256"] for split in manifest["splits"].values() for shard in split["shards"]}
    return {"configuration": flat, "data": shards, "tokenizer": tokenizer}


def check_made_with(checkpoint: Path, now: dict[str, Any]) -> None:
    """UsageError, with the differences, if ``checkpoint`` was made with anything else."""
    then = read_json(checkpoint / "made_with.json")
    for part, advice in (
        ("configuration", "a run goes on only as it began: put it back, or begin a new run"),
        ("data", "the shards are no longer those of this run: put them back, or begin a new run"),
        ("tokenizer", "the tokenizer is no longer that of this run: put it back, or begin a new run"),
    ):
        if changes := differences(then[part], now[part]):
            raise UsageError(f"{checkpoint} was made with another {part}: {changes}; {advice}")


def differences(then: dict[str, Any], now: dict[str, Any]) -> str:
    """``key: old -> new`` for each key that differs; empty if none does. Lists and tuples are the same thing here."""
    changes = [
        f"{key}: {then.get(key, 'nothing')} -> {now.get(key, 'nothing')}"
        for key in sorted(then.keys() | now.keys())
        if listed(then.get(key)) != listed(now.get(key))
    ]
    more = len(changes) - MOST_DIFFERENCES_SHOWN
    return ", ".join(changes[:MOST_DIFFERENCES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def listed(value: Any) -> Any:
    """JSON knows lists only."""
    return list(value) if isinstance(value, tuple) else value
