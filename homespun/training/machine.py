"""What this machine is good at, found out by running real training steps for a few seconds.

``measure_step(...)`` times the very step that training will make. ``choose_execution(...)`` tries what there is to
choose (precision, attention kernel, threads, compiling) on the model that will be trained, takes the fastest, and
remembers it for the next run of the same shape on the same machine with the same PyTorch.
"""

import contextlib
import hashlib
import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from homespun import __version__
from homespun.common.cache import cache_folder
from homespun.common.cores import available_cores
from homespun.common.errors import HomespunError
from homespun.common.files import read_json, write_json
from homespun.models.arithmetic import training_flops_per_token
from homespun.models.registry import build_model
from homespun.models.settings import ModelConfig
from homespun.training.checkpoint import TrainingState
from homespun.training.device import device_name
from homespun.training.execution import Execution, apply_to_model, compile_step, why_not_compile
from homespun.training.guard import Guard
from homespun.training.loop import Stepping, train_step
from homespun.training.losses import Objective
from homespun.training.optimizer import build_optimizer
from homespun.training.precision import DTYPES
from homespun.training.settings import TrainingConfig
from homespun.training.tasks import TASKS

MEASURED_STEPS = 3
LONG_ENOUGH = 2.0  # seconds: a step that takes so long needs no median
CLEARLY_FASTER = 1.03  # less is noise, and the plainer way is kept
# Compiling takes about a minute on a processor; what it saves must be worth that.
SECONDS_WORTH_COMPILING = {"cpu": 1200.0, "cuda": 180.0}
MOST_REMEMBERED = 200
FILE = "speeds.json"


@dataclass(frozen=True)
class Speed:
    """One measured shape: training tokens per second, and operations per second that this means."""

    execution: Execution
    flops_per_token: float
    tokens_per_second: float

    @property
    def flops_per_second(self) -> float:
        return self.flops_per_token * self.tokens_per_second

    @property
    def precision(self) -> str:
        return self.execution.precision


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done what it was given; a processor always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def trial_steps(
    config: ModelConfig, rows: int, execution: Execution, device: torch.device, training: TrainingConfig
) -> Stepping:
    """Steps over random tokens, carried out as those of a real run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(config).to(device)
        batch = TASKS[config.task].example(config, rows).to(device)
    apply_to_model(model, execution)
    objective = Objective(model, TASKS[config.task])
    training = replace(training, batch_size=rows, micro_batch_size=0, precision=execution.precision)  # pyrefly: ignore
    if execution.compiled:
        compile_step(objective)
    return Stepping(
        model=model,
        objective=objective,
        optimizer=build_optimizer(model, training),
        guard=Guard(training.outlier_factor, device),
        batch=lambda _: batch,
        config=training,
        device=device,
        state=TrainingState(0, 1, 0, 0.0, execution),
    )


def measure_step(
    config: ModelConfig,
    rows: int,
    execution: Execution,
    device: torch.device,
    training: TrainingConfig = TrainingConfig(),
    steps: int = MEASURED_STEPS,
) -> Speed:
    """Median time of a few real steps (forward, backward, clipping, update) after one to warm up."""
    torch.set_num_threads(execution.threads)
    times = []
    with torch.random.fork_rng(devices=[]):
        run = trial_steps(config, rows, execution, device, training)
        run.objective.train()
        for _ in range(1 + steps):
            synchronize(device)
            started = time.perf_counter()
            train_step(run, 1.0)
            synchronize(device)
            times.append(time.perf_counter() - started)
            if len(times) > 1 and sum(times[1:]) > LONG_ENOUGH:
                break
    targets = rows * config.targets_in_row
    return Speed(execution, training_flops_per_token(config), targets / statistics.median(times[1:]))


def candidates(config: ModelConfig, training: TrainingConfig, threads: int, device: torch.device) -> list[Execution]:
    """What is still open, the plainest first; what the user has set stays."""
    precisions = DTYPES if training.precision == "auto" else [training.precision]
    if training.attention == "auto":
        kernels: Iterable[str] = config.kernels if device.type == "cpu" else ["fused"]  # on GPUs it always wins
    else:
        kernels = [training.attention]
    return [
        Execution(precision, kernel, recomputed=training.recompute, threads=threads)
        for precision in precisions
        for kernel in kernels
    ]


def choose_execution(
    config: ModelConfig, rows: int, training: TrainingConfig, device: torch.device, tokens: float
) -> tuple[Execution, list[Speed]]:
    """The fastest execution of this model's steps, and what was measured to find it (nothing if it is remembered).

    ``rows`` windows at once; ``tokens``: how long the run is, which says whether compiling can repay its time.
    """
    threads = training.threads or available_cores()
    memory = Memory(config, rows, training, device)
    speeds: list[Speed] = []

    def measure(execution: Execution) -> Speed:
        known = memory.tokens_per_second(execution)
        if known:
            return Speed(execution, training_flops_per_token(config), known)
        speeds.append(measure_step(config, rows, execution, device, training))
        memory.keep(speeds[-1])
        return speeds[-1]

    ways = candidates(config, training, threads, device)
    best = fastest([measure(way) for way in ways])
    if not training.threads and threads > 1 and device.type == "cpu":  # small steps may lose more by waiting
        best = fastest([best, measure(replace(best.execution, threads=max(1, threads // 2)))])
    chosen = best.execution
    long_enough = tokens / best.tokens_per_second >= SECONDS_WORTH_COMPILING[device.type]
    kernels = [way.attention for way in ways if way.precision == chosen.precision]
    kernels = [kernel for kernel in kernels if kernel not in config.stepwise and config.one_shape]
    if training.compile == "auto" and kernels and long_enough and not why_not_compile(device.type):
        # Compiled, another kernel may be the fastest than step by step: its softmax is fused with what is around it.
        best = fastest([best, *(measure(replace(chosen, compiled=True, attention=kernel)) for kernel in kernels)])
    execution = replace(chosen, compiled=True) if training.compile == "on" else best.execution
    torch.set_num_threads(execution.threads)
    return execution, speeds


def fastest(speeds: list[Speed]) -> Speed:
    """The first that none of the later ones clearly beats."""
    best = speeds[0]
    for speed in speeds[1:]:
        if speed.tokens_per_second > CLEARLY_FASTER * best.tokens_per_second:
            best = speed
    return best


class Memory:
    """Speeds that earlier runs have measured of the same steps on the same machine, kept in the cache folder."""

    def __init__(self, config: ModelConfig, rows: int, training: TrainingConfig, device: torch.device) -> None:
        steps = {
            "model": asdict(config) | {"dropout": config.dropout > 0}, "rows": rows, "optimizer": training.optimizer,
            "machine": [device_name(device), available_cores(), torch.__version__, __version__],
        }  # fmt: skip
        self.key = hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()
        found = read_speeds().get(self.key)
        self.speeds: dict[str, Any] = found if isinstance(found, dict) else {}

    def tokens_per_second(self, execution: Execution) -> float:
        """0: not known."""
        found = self.speeds.get(str(execution))
        return found if isinstance(found, float) and 0 < found < float("inf") else 0.0

    def keep(self, speed: Speed) -> None:
        """Write it down; where nothing can be written it is measured again next time."""
        self.speeds[str(speed.execution)] = speed.tokens_per_second
        others = {key: value for key, value in read_speeds().items() if key != self.key}
        newest = dict([*others.items(), (self.key, self.speeds)][-MOST_REMEMBERED:])
        with contextlib.suppress(HomespunError, OSError):
            cache_folder().mkdir(parents=True, exist_ok=True)
            write_json(cache_folder() / FILE, newest)


def read_speeds() -> dict[str, Any]:
    """What is in the file; a file that cannot be read holds nothing."""
    try:
        found = read_json(cache_folder() / FILE)
    except HomespunError:
        return {}
    return found if isinstance(found, dict) else {}
