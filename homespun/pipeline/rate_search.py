"""The search for a learning rate on a run's own model and tokens; the run itself is not touched."""

from dataclasses import replace
from pathlib import Path

import torch

from homespun.batches.sources import SOURCES, Asked
from homespun.common.errors import UsageError
from homespun.common.progress import Reporter
from homespun.pipeline.configuration import load_toml
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.device import choose_device
from homespun.training.execution import Execution
from homespun.training.machine import trial_steps
from homespun.training.rate_finder import Trial, try_rates


def search_rate(folder: Path, lowest: float, highest: float, steps: int, reporter: Reporter) -> list[Trial]:
    """Steps of rising rate, each with its loss."""
    run = RunFolder(folder)
    run.record()
    if not (run.tokens / "manifest.json").exists() or not run.config.exists():
        raise UsageError(f"{folder} has no tokens yet: begin the run, stop it when it trains, then ask again")
    config = load_toml(run.config)
    training, device = config.training, choose_device(config.training.device)
    execution = Execution.of(training)
    torch.set_num_threads(execution.threads)
    tokenizer = Tokenizer.load(run.tokenizer)
    asked = Asked(run.tokens, config.model.context, training.batch_size, training.seed,
                  special_tokens=tokenizer.special_tokens)  # fmt: skip
    batches = SOURCES[config.model.task].training(asked)
    search = trial_steps(config.model, training.batch_size, execution, device, training)
    search.batch, search.config = batches.batch, replace(training, outlier_factor=0.0)
    with reporter.stage("trying rates", steps, "steps") as stage:
        return try_rates(search, lowest, highest, steps, stage.advance)
