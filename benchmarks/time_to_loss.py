"""Question: how soon does a processor reach a loss, and how low does it get within a time, beside nanoGPT's recipe?

    python benchmarks/time_to_loss.py --nanogpt DIR [--recipe FILE] [--seeds 1 2 3 4 5] [--json]
    python benchmarks/time_to_loss.py --nanogpt DIR [--recipe FILE] --minutes 3 10 [--json]

DIR is a checkout of https://github.com/karpathy/nanoGPT that you bring; nothing of it is in this repository. The text
is ``--data FILE``, without it tinyshakespeare/input.txt under the folder that HOMESPUN_DATA names. Our recipe is
recipes/speed.toml, or another configuration file.

| the same for both                              | each program's own                                         |
| text, characters as tokens, 90/10 split        | the recipe: model, context, batch, rates, number of steps  |
| the cores there are, PyTorch, machine          | precision and threads: nanoGPT fp32 (all that it has on a  |
| two clocks, the exact loss of the whole split  |   processor), all cores; ours what it measures as fastest  |

nanoGPT: its ``train.py`` with its README's options for a processor, 2,000 steps. Ours: the product's loop with the
recipe. With ``--minutes`` the steps of both (and so their schedules) are as many as fill 97 % of the time, by the speed
of a short run before; ours follow the run's own speed until the rate begins to fall, as ``homespun build --minutes``
does. What comes after the time does not count.

Loss: nats per token, mean over every target of the validation split, in windows as long as the model's context, in
fp32. It is computed outside the clocks: of nanoGPT 40 times in a run, of ours about every two seconds, in a long run 60
times. Seconds to a loss: a straight line between two evaluations. Clocks: *training* is all from the first batch to the
last update but evaluations and checkpoints; *process* adds the start of the program and its end, for ours with finding
out how to carry out the steps, which is done anew in every process. ``--minutes`` goes by the process clock.

Seeds: nanoGPT's is a number in its ``train.py``. Seed 1 is that file unmodified (1337); for seed s a copy is run in
which this number is 1336 + s. Runs take turns, each alone in its own process. Figures are medians over seeds. A run
that does not reach a loss counts with all its time; > says that this bounds the median, and ratios need all of ours.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from measuring import ask_program, cores, exit_with, machine, machine_lines, table, tell
from pretraining.curve import Curve, curve_of
from pretraining.data import write_data
from pretraining.nanogpt import RECIPE_STEPS, WARMUP_STEPS, check_checkout, commit_of, train_nanogpt

from homespun.common.configuration import flatten
from homespun.common.errors import HomespunError, UsageError
from homespun.pipeline.configuration import Configuration, load_toml

NANOGPT, OURS = "nanoGPT", "homespun"
RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "speed.toml"
NANOGPT_EVALUATIONS, OUR_EVALUATIONS = 40, 60
SECONDS_BETWEEN = 2.0  # of ours, at least
FILLED = 0.97
OUR_TRIAL_STEPS, NANOGPT_TRIAL_STEPS = 60, 2 * WARMUP_STEPS


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="seconds to a loss, and loss within minutes, beside nanoGPT's recipe")
    parser.add_argument("--nanogpt", type=Path, metavar="DIR", help="a checkout of nanoGPT that you bring")
    parser.add_argument("--recipe", type=Path, default=RECIPE, metavar="FILE", help="ours [recipes/speed.toml]")
    parser.add_argument("--data", type=Path, metavar="FILE", help="text [$HOMESPUN_DATA/tinyshakespeare/input.txt]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="one run of each for each [1-5]")
    parser.add_argument("--losses", type=float, nargs="+", default=[1.88, 1.60], help="seconds to these [1.88 1.60]")
    parser.add_argument("--minutes", type=float, nargs="+", help="instead: the lowest loss within each of these")
    parser.add_argument("--iterations", type=int, default=RECIPE_STEPS, help="nanoGPT's steps [2000, its README's]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs, the tables aside")
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Everything that can be wrong, before anything runs."""
    if options.nanogpt is None:
        raise UsageError("--nanogpt DIR is needed: a checkout of https://github.com/karpathy/nanoGPT that you bring")
    options.nanogpt = options.nanogpt.resolve()
    check_checkout(options.nanogpt)
    if options.data is None:
        if "HOMESPUN_DATA" not in os.environ:
            raise UsageError("--data FILE is needed (or HOMESPUN_DATA, a folder with tinyshakespeare/input.txt)")
        options.data = Path(os.environ["HOMESPUN_DATA"]) / "tinyshakespeare" / "input.txt"
    if options.iterations % NANOGPT_EVALUATIONS:
        raise UsageError(f"--iterations must be a multiple of {NANOGPT_EVALUATIONS}: the last step is to be evaluated")
    if min(options.seeds) < 1 or len(set(options.seeds)) < len(options.seeds):
        raise UsageError("--seeds must be different numbers from 1 on")


class Bench:
    """Starts the runs of both sides, each alone in its process, in ``folder``."""

    def __init__(self, options: argparse.Namespace, recipe: Configuration, folder: Path) -> None:
        self.options, self.recipe, self.folder, self.threads = options, recipe, folder, cores()
        self.data, self.shards = folder / "nanogpt-data", folder / "shards"
        write_data(options.data, self.data, self.shards)
        self.runs = 0

    def new_folder(self) -> Path:
        """For one run."""
        self.runs += 1
        return self.folder / f"run-{self.runs}"

    def nanogpt(self, seed: int, steps: int, interval: int) -> Curve:
        """nanoGPT's train.py."""
        folder = self.new_folder()
        return train_nanogpt(self.options.nanogpt, self.data, folder, steps, interval, self.threads, seed)

    def ours(self, seed: int, steps: int, interval: int, seconds: float = 0.0) -> Curve:
        """The product's loop, with a memory of its own: what earlier runs have measured is not known to it.

        ``seconds`` of training: as with ``homespun build --minutes`` the number of steps follows the run's own speed.
        """
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment = os.environ | threads | {"HOMESPUN_CACHE": str(self.new_folder())}
        task = {
            "shards": str(self.shards), "recipe": str(self.options.recipe.resolve()),
            "steps": steps, "interval": interval, "seed": seed, "seconds": seconds,
        }  # fmt: skip
        began = time.perf_counter()
        answer = ask_program("pretraining.ours", task, environment)
        elapsed = time.perf_counter() - began
        return replace(curve_of(answer["curve"]), start_seconds=elapsed - answer["loop_seconds"])

    def nanogpt_side(self, seconds: float | None) -> Callable[[int], Curve]:
        """Its runs by seed: the README's steps, or as many as fill so much time of a process."""
        steps = self.options.iterations
        if seconds is not None:
            steps = steps_within(self.nanogpt(1, NANOGPT_TRIAL_STEPS, WARMUP_STEPS), seconds)
        interval = max(2, steps // NANOGPT_EVALUATIONS)
        if interval * NANOGPT_EVALUATIONS <= WARMUP_STEPS:
            raise UsageError(f"{steps:,} steps of nanoGPT are too few for its warm-up of {WARMUP_STEPS}")
        return lambda seed: self.nanogpt(seed, interval * NANOGPT_EVALUATIONS, interval)

    def our_side(self, seconds: float | None) -> Callable[[int], Curve]:
        """Ours in the same way: the recipe's steps, or as many as fill the time."""
        trial = self.ours(1, OUR_TRIAL_STEPS, OUR_TRIAL_STEPS)
        steps = self.recipe.training.steps if seconds is None else steps_within(trial, seconds)
        between = max(SECONDS_BETWEEN, steps * trial.step_seconds / OUR_EVALUATIONS)
        training_seconds = 0.0 if seconds is None else FILLED * seconds - trial.start_seconds
        return lambda seed: self.ours(seed, steps, math.ceil(between / trial.step_seconds), training_seconds)


def steps_within(trial: Curve, seconds: float) -> int:
    """Steps that fill the time of a process, after its start and what the first step takes longer than others."""
    first_step = trial.seconds - trial.points[-1].step * trial.step_seconds
    steps = (FILLED * seconds - trial.start_seconds - max(0.0, first_step)) / trial.step_seconds
    if steps < 1:
        raise UsageError(f"{seconds / 60:g} minutes are too few: the program's start alone takes that long")
    return int(steps)


def in_turn(sides: dict[str, Callable[[int], Curve]], seeds: list[int]) -> dict[str, list[Curve]]:
    """All runs, one side after the other for each seed."""
    curves: dict[str, list[Curve]] = {side: [] for side in sides}
    for seed in seeds:
        for side, run in sides.items():
            curve = run(seed)
            curves[side].append(curve)
            tell(
                f"seed {seed}: {side}: {curve.points[-1].step:,} steps, {curve.seconds:.1f} s of training and "
                f"{curve.start_seconds:.1f} s besides, loss {curve.final_loss:.4f}"
            )
    return curves


def time_to(runs: list[Curve], loss: float) -> dict[str, Any]:
    """Seconds to ``loss`` on both clocks, medians; a run that never reaches it counts with its end."""
    reached = [run.seconds_to(loss) for run in runs]
    training = [run.seconds if seconds is None else seconds for run, seconds in zip(runs, reached, strict=True)]
    process = [run.start_seconds + seconds for run, seconds in zip(runs, training, strict=True)]
    return {
        "runs": len(runs),
        "reached": len(runs) - reached.count(None),
        "training": statistics.median(training),
        "training_range": [min(training), max(training)],
        "process": statistics.median(process),
    }


def summary(curves: dict[str, list[Curve]], losses: list[float], process_seconds: float | None) -> dict[str, Any]:
    """Medians of each side, and times to each loss; ``ratios``: nanoGPT's time by ours (None where ours never came)."""
    rows = {
        side: {
            "parameters": runs[0].parameters,
            "execution": sorted({run.execution for run in runs}),
            "steps": runs[0].points[-1].step,
            "tokens_per_second": statistics.median(run.tokens_per_second for run in runs),
            "training_seconds": statistics.median(run.seconds for run in runs),
            "start_seconds": statistics.median(run.start_seconds for run in runs),
            "losses": lowest_losses(runs, process_seconds),
            "to_loss": {str(loss): time_to(runs, loss) for loss in losses},
        }
        for side, runs in curves.items()
    }
    ratios = {}
    for loss in map(str, losses):
        theirs, ours = (rows[side]["to_loss"][loss] for side in (NANOGPT, OURS))
        complete = ours["reached"] == len(curves[OURS])
        ratios[loss] = {clock: theirs[clock] / ours[clock] if complete else None for clock in ("training", "process")}
    return {"rows": rows, "ratios": ratios}


def lowest_losses(runs: list[Curve], process_seconds: float | None) -> list[float]:
    """The lowest exact loss of each run, within a time of its process if one is given."""
    found = [run.lowest_within(math.inf if process_seconds is None else process_seconds) for run in runs]
    losses = [loss for loss in found if loss is not None]
    if len(losses) < len(found):
        raise HomespunError(f"a run had no evaluation within {process_seconds:g} s of its process")
    return losses


def lines(found: dict[str, Any]) -> str:
    """The table for people."""
    header = ["", "weights", "steps", "tokens/s", "s training", "s besides", "lowest loss", "least", "most"]
    for loss in found["ratios"]:
        header += [f"s to {loss}", "of process", "ratio"]
    body = []
    for side, row in found["rows"].items():
        cells = [side, f"{row['parameters']:,}", f"{row['steps']:,}", f"{row['tokens_per_second']:,.0f}"]
        cells += [f"{row['training_seconds']:.1f}", f"{row['start_seconds']:.1f}"]
        losses = row["losses"]
        cells += [f"{loss:.4f}" for loss in (statistics.median(losses), min(losses), max(losses))]
        for loss, to_loss in row["to_loss"].items():
            cells += [at_least(to_loss, clock) for clock in ("training", "process")]
            ratio = found["ratios"][loss]["training"]
            theirs = at_least(found["rows"][NANOGPT]["to_loss"][loss], "training")
            cells += ["" if side == NANOGPT or ratio is None else f"{'>' * theirs.startswith('>')}{ratio:.1f}"]
        body.append(cells)
    executions = [f"{side}: {'; '.join(row['execution'])}" for side, row in found["rows"].items()]
    return "\n".join([table(header, body), *executions])


def at_least(to_loss: dict[str, Any], clock: str) -> str:
    """A median time for people; > where half of the runs or more never came there, so that it is only a bound."""
    return f"{'>' * (2 * to_loss['reached'] <= to_loss['runs'])}{to_loss[clock]:.1f}"


def main() -> int:
    """Measure and print."""
    options = arguments()
    check(options)
    facts, recipe = machine(), load_toml(options.recipe)
    record: dict[str, Any] = {
        "machine": facts, "threads": cores(), "nanogpt_commit": commit_of(options.nanogpt),
        "recipe": flatten(recipe.model, "model.") | flatten(recipe.training, "training."),
        "seeds": options.seeds, "parts": [],
    }  # fmt: skip
    report = [*machine_lines(facts), f"{cores()} threads; nanoGPT at commit {record['nanogpt_commit']}"]
    with tempfile.TemporaryDirectory(prefix="time-to-loss-") as folder:
        bench = Bench(options, recipe, Path(folder).resolve())
        for minutes in options.minutes or [None]:
            seconds = None if minutes is None else 60 * minutes
            sides = {NANOGPT: bench.nanogpt_side(seconds), OURS: bench.our_side(seconds)}
            curves = in_turn(sides, options.seeds)
            found = summary(curves, options.losses, seconds)
            title = "each side's recipe" if minutes is None else f"within {minutes:g} minutes of the process"
            report += ["", f"{title}, median of {len(options.seeds)}", lines(found)]
            record["parts"].append(
                {
                    "minutes": minutes,
                    **found,
                    "curves": {side: [asdict(run) for run in curves[side]] for side in curves},
                }
            )
    if options.json:
        tell("\n".join(report))
        print(json.dumps(record, indent=1))
    else:
        print("\n".join(report))
    return 0


if __name__ == "__main__":
    exit_with(main)
