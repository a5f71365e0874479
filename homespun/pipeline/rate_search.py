"""The search for a learning rate on a run's own model and data; the run itself is not touched."""

from dataclasses import replace
from pathlib import Path

import torch

from homespun.common.errors import UsageError
from homespun.common.progress import Reporter
from homespun.pipeline.configuration import load_toml
from homespun.pipeline.run_folder import IMPORTED, RunFolder
from homespun.pipeline.train_stage import LESSONS
from homespun.training.device import choose_device
from homespun.training.execution import Execution
from homespun.training.machine import trial_steps
from homespun.training.rate_finder import Trial, try_rates
from homespun.training.world import World


def search_rate(folder: Path, lowest: float, highest: float, steps: int, reporter: Reporter) -> list[Trial]:
    """Steps of rising rate, each with its loss."""
    run = RunFolder(folder)
    if run.record().get("state") == IMPORTED:
        raise UsageError(f"{folder} was imported: it has no text to try rates on")
    config = load_toml(run.config) if run.config.exists() else None
    if config is None or not (run.shards(config.model.reads) / "manifest.json").exists():
        raise UsageError(f"{folder} has no tokens yet: begin the run, stop it when it trains, then ask again")
    training, device = config.training, choose_device(config.training.device)
    execution = Execution.of(training)
    torch.set_num_threads(execution.threads)
    lesson = LESSONS[config.model.reads](run, config, World())
    search = trial_steps(config.model, training.batch_size, execution, device, training)
    search.model.load_state_dict(lesson.model.state_dict())  # a finetuning does not begin with chance weights
    search.batch, search.config = lesson.batches.batch, replace(training, outlier_factor=0.0)
    with reporter.stage("trying rates", steps, "steps") as stage:
        return try_rates(search, lowest, highest, steps, stage.advance)
