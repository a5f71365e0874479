"""What is learned from preferences, and from what: a base, pairs of answers, and what the base thinks of them.

The base's probabilities are worked out once, before the first step, and stored; a run that goes on reads them. They are
those of the base as it is held in training, in few bits where it is.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from homespun.batches.answer_rows import AnswerRows
from homespun.batches.like_length import every_row
from homespun.batches.preferences import PreferenceRows
from homespun.common.errors import DamagedFileError
from homespun.common.files import atomic_folder, read_json, sha256_of_file, write_json
from homespun.dialogues.storage import SPLITS, read_split
from homespun.evaluation.measure import LOWER, figure_of, mean_of, share_of
from homespun.models.finetuned import Finetuned
from homespun.models.settings import PreferredConfig
from homespun.pipeline.assemble import Lesson
from homespun.pipeline.configuration import Configuration
from homespun.pipeline.conversation_lesson import checked_base, dialogue_lesson, questions
from homespun.pipeline.run_folder import RunFolder
from homespun.training.device import choose_device
from homespun.training.memory import validation_rows
from homespun.training.preferences import answer_log_probabilities
from homespun.training.world import World

SEED = 0


def preference_lesson(run: RunFolder, config: Configuration, world: World) -> Lesson:
    """The base, and pairs of answers."""
    training, shape = config.training, config.model
    assert isinstance(shape, PreferredConfig)
    # Nothing has been learned yet: the model is its base.
    model = Finetuned(shape, checked_base(run, shape)).to(choose_device(training.device, world.local_rank))
    at_once = max(world.size, validation_rows(shape, training))
    if world.is_first:
        reference_stage(run, model.body, at_once)
    world.wait()
    reference = read_reference(run.path / "reference")
    rows = {split: PreferenceRows(AnswerRows(run.rows, split), reference[split]) for split in SPLITS}

    def examine(model: nn.Module) -> dict[str, Any]:
        now = log_probabilities(model.body, rows["validation"], at_once)
        gained = now - reference["validation"]
        margins = shape.beta * (gained[:, 0] - gained[:, 1])
        measures = (
            share_of("accuracy", margins > 0),
            mean_of("margin", margins),
            mean_of("loss", np.logaddexp(0, -margins), "nats", LOWER),
            mean_of("log-probability of the chosen, gained", gained[:, 0], "nats"),
            mean_of("log-probability of the rejected, gained", gained[:, 1], "nats", LOWER),
        )
        return {"preferences": {one.name: asdict(figure_of(one, SEED)) for one in measures}}

    shown = questions(one.prompt for one in read_split(run.preferences, "validation"))
    return dialogue_lesson(run, config, world, model, rows, shown, examine)


def reference_stage(run: RunFolder, base: nn.Module, at_once: int) -> None:
    """What the base thinks of all answers: a file for each split, and their checksums."""
    folder = run.path / "reference"
    if (folder / "manifest.json").exists():
        return
    with atomic_folder(folder) as temporary:
        for split in SPLITS:
            answers = AnswerRows(run.rows, split)
            rows = PreferenceRows(answers, np.zeros((len(answers) // 2, 2)))
            np.save(temporary / f"{split}.npy", log_probabilities(base, rows, at_once), allow_pickle=False)
        sums = {f"{split}.npy": sha256_of_file(temporary / f"{split}.npy") for split in SPLITS}
        write_json(temporary / "manifest.json", {"sha256": sums})


def read_reference(folder: Path) -> dict[str, np.ndarray]:
    """By split, (N, 2) float64."""
    for name, expected in read_json(folder / "manifest.json")["sha256"].items():
        if sha256_of_file(folder / name) != expected:
            raise DamagedFileError(f"{folder / name} is damaged (its checksum differs); delete {folder} and run again")
    return {split: np.load(folder / f"{split}.npy", allow_pickle=False) for split in SPLITS}


@torch.no_grad()
def log_probabilities(model: Any, rows: PreferenceRows, at_once: int) -> np.ndarray:
    """Of both answers of each pair, by a ``LanguageModel``: (N, 2) float64."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    found = np.empty((len(rows), 2))
    order = rows.by_length(np.arange(len(rows)))
    parts = [answer_log_probabilities(model, batch.to(device)).cpu() for batch in every_row(rows, at_once)]
    found[order] = torch.cat(parts).double().numpy()
    model.train(was_training)
    return found
