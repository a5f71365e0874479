"""What every run has when its training begins, whatever it learns from: a plan, and the configuration that follows.

In: a run folder, choices, and how a plan is made. Out: ``Ready``; ``plan.json``, ``environment.json`` and
``config.toml`` in the folder. A run that goes on never plans anew.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from homespun.common.configuration import flatten
from homespun.common.errors import UsageError
from homespun.common.files import read_json, write_json
from homespun.common.progress import Reporter
from homespun.pipeline.configuration import Choices, Configuration, load_toml, write_toml
from homespun.pipeline.environment import describe_environment
from homespun.pipeline.made_with import differences
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.run_folder import RunFolder
from homespun.training.device import choose_device, set_threads
from homespun.training.dial import Dial

SECONDS_BEFORE_THE_CLOCK = 3.0  # starting Python and importing PyTorch, before anything here runs


class Clock:
    """Seconds that a run has had, over all its sessions."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.before = run.record()["seconds_total"] + SECONDS_BEFORE_THE_CLOCK
        self.began = time.monotonic()

    def seconds(self) -> float:
        """So far."""
        return self.before + time.monotonic() - self.began

    def note(self, **changes: Any) -> None:
        """Write the time, and what else has changed, to ``run.json``."""
        self.run.update(seconds_total=round(self.seconds(), 1), **changes)


@dataclass(frozen=True)
class Ready:
    """The plan, the configuration with the plan's values in it, and the work that the plan did not need done."""

    plan: Plan
    choices: Choices
    finish: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Preparation:
    """What comes before the training of models that read one kind of thing.

    ``check(sources, configuration)`` opens nothing; ``prepare`` reads the sources and plans. ``first_state``: what
    ``run.json`` says meanwhile.
    """

    check: Callable[[list[str], Configuration], object]
    prepare: Callable[[RunFolder, Choices, Dial | None, Clock, Reporter], Ready]
    first_state: str


def settle(run: RunFolder, choices: Choices, reporter: Reporter, make: Callable[[torch.device], Plan]) -> Ready:
    """The plan that is there, or the one that ``make(device)`` makes; the configuration is written down."""
    plan = Plan.from_record(read_json(run.plan)) if run.plan.exists() else plan_stage(run, choices, reporter, make)
    choices = choices.with_values(plan.values, "plan")
    refuse_edited_configuration(run, choices, plan)
    write_toml(run.config, choices.config)
    return Ready(plan, choices)


def plan_stage(run: RunFolder, choices: Choices, reporter: Reporter, make: Callable[[torch.device], Plan]) -> Plan:
    """The plan, made and written down."""
    threads = set_threads(choices.config.training.threads)
    device = choose_device(choices.config.training.device)
    write_json(run.path / "environment.json", describe_environment(device, threads))
    reporter.say("planning …")
    plan = make(device)
    write_json(run.plan, plan.record())
    return plan


def refuse_edited_configuration(run: RunFolder, choices: Choices, plan: Plan) -> None:
    """A run goes on as it began: what somebody has written into its ``config.toml`` would have no effect."""
    if not run.config.exists():
        return
    found, wanted = flatten(load_toml(run.config)), flatten(choices.config)
    if plan.timed:  # at its end such a run writes down the number of steps that it really had
        found["training.steps"] = wanted["training.steps"]
    if changes := differences(wanted, found):
        raise UsageError(
            f"{run.config} was changed after the run began: {changes}; put it back, or begin a new run with --config"
        )
