"""Question: on the same text, shape and machine, how do homespun and nanoGPT compare in tokens/s and time to a loss?

    python benchmarks/pretrain_vs_nanogpt.py --nanogpt DIR [--data FILE] [--iterations N] [--repeats N] [--json]

DIR is a checkout of https://github.com/karpathy/nanoGPT that you bring yourself: nothing of it is in this
repository, nothing is downloaded, and without ``--nanogpt`` there is one line and exit code 2. FILE is a
text; without it, tinyshakespeare/input.txt under the folder that HOMESPUN_DATA names.

| the same for all                              | each program's own                                       |
| text, characters as tokens, 90/10 split       | AdamW's rates, schedule, betas; initialization           |
| layers, heads, width, context, batch, steps   | precision: nanoGPT fp32 (all that it has on a processor);|
| threads (all cores), PyTorch, machine         |   ours the faster of fp32 and bf16, measured             |
| clock, and exact loss of the whole split      | the order in which training windows are drawn            |

Three rows: nanoGPT's ``train.py`` as its README runs it on a processor; homespun with nanoGPT's parts (as
many parameters, checked); homespun with its default parts (Qwen3's) at the same width and depth. nanoGPT's
GELU is exact, ours the tanh form. tokens/s compares the code (with ``--precision fp32`` nothing else); time to
a loss compares code, rates, initialization and parts together. Below a few hundred iterations nanoGPT has
hardly left its warm-up of 100, so its time to a loss says little there. On a busy machine nothing here counts.

Seeds: nanoGPT's is written in its train.py (1337) and stays; our repeat number r has seed r. So our
figures are medians over seeds, nanoGPT's over repetitions of one training. Start-up and evaluation are in
no figure. tokens/s: median over steps, then over repeats; seconds to a loss: median over repeats.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measuring import cores, exit_with, machine, machine_lines, table, tell
from pretraining.curve import BATCH_SIZE, CONTEXT, HEADS, LAYERS, WIDTH, Curve
from pretraining.data import write_data
from pretraining.nanogpt import WARMUP_STEPS, check_checkout, commit_of, train_nanogpt

from homespun.common.errors import HomespunError, UsageError

NANOGPT = "nanoGPT train.py"
OURS = {"homespun, nanoGPT's parts": "nanogpt", "homespun, default parts": "default"}
README_LOSS = 1.88  # what nanoGPT's README promises for these options


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="tokens/s and seconds to a loss, beside nanoGPT's own train.py")
    parser.add_argument("--nanogpt", type=Path, metavar="DIR", help="a checkout of nanoGPT that you bring")
    parser.add_argument("--data", type=Path, metavar="FILE", help="text [$HOMESPUN_DATA/tinyshakespeare/input.txt]")
    parser.add_argument("--iterations", type=int, default=2000, help="updates of the weights [2000]")
    parser.add_argument("--evaluations", type=int, default=10, help="exact losses along a run [10]")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turn [3]")
    parser.add_argument("--loss", type=float, help="seconds to this loss [what nanoGPT reaches at its end]")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto", help="of our runs [auto]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
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
    if options.iterations <= WARMUP_STEPS:
        raise UsageError(f"--iterations must be above {WARMUP_STEPS}, nanoGPT's warm-up")
    if options.evaluations < 1 or options.iterations % options.evaluations:
        raise UsageError("--iterations must be a multiple of --evaluations, so that the last step is evaluated")
    if options.iterations == options.evaluations or options.repeats < 1:
        raise UsageError("--iterations must be above --evaluations, and --repeats at least 1")


def alone(function: Callable[..., Any], *inputs: Any) -> Any:
    """Run a function in a fresh process, as ``train.py`` runs in one; neither side inherits a warm allocator."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *inputs).result()


def measure(options: argparse.Namespace, work: Path, threads: int) -> dict[str, list[Curve]]:
    """All runs, in turn; their curves by row."""
    from pretraining.ours import Job, choose_precision, train_ours

    data, shards = work / "nanogpt-data", work / "shards"
    vocabulary_size = write_data(options.data, data, shards)
    steps, interval = options.iterations, options.iterations // options.evaluations
    precision = {
        parts: alone(choose_precision, parts, vocabulary_size, threads)
        if options.precision == "auto"
        else options.precision
        for parts in OURS.values()
    }
    curves: dict[str, list[Curve]] = {row: [] for row in (NANOGPT, *OURS)}
    for repeat in range(1, options.repeats + 1):
        for row, runs in curves.items():
            if row == NANOGPT:
                out = work / f"nanogpt-{repeat}"
                runs.append(train_nanogpt(options.nanogpt, data, out, steps, interval, threads))
            else:
                parts = OURS[row]
                job = Job(shards, parts, vocabulary_size, steps, interval, precision[parts], threads, repeat)
                runs.append(alone(train_ours, job))
            last = runs[-1]
            tell(f"repeat {repeat}: {row}: {last.tokens_per_second:,.0f} tokens/s, loss {last.final_loss:.4f}")
    check_same_model(curves)
    return curves


def check_same_model(curves: dict[str, list[Curve]]) -> None:
    """nanoGPT's parts must have nanoGPT's number of parameters, or the comparison is none."""
    theirs, ours = curves[NANOGPT][0].parameters, curves[next(iter(OURS))][0].parameters
    if theirs != ours:
        raise HomespunError(f"the models differ: nanoGPT has {theirs:,} parameters, ours {ours:,}")


def targets(options: argparse.Namespace, curves: dict[str, list[Curve]]) -> list[float]:
    """The losses to time: the asked one, or the highest that nanoGPT ended at, so that all its repeats reach it.

    1.88 beside it, where every run reaches that.
    """
    if options.loss is not None:
        return [options.loss]
    found = [max(run.final_loss for run in curves[NANOGPT])]
    if all(run.final_loss <= README_LOSS for runs in curves.values() for run in runs):
        found.append(README_LOSS)
    return found


def median_seconds(runs: list[Curve], loss: float) -> float | None:
    """Seconds to ``loss``; None where one of the runs did not reach it."""
    seconds = [run.seconds_to(loss) for run in runs]
    return None if None in seconds else statistics.median(second for second in seconds if second is not None)


def summary(curves: dict[str, list[Curve]], losses: list[float]) -> dict[str, Any]:
    """Medians and ratios; a ratio above 1 means faster than nanoGPT."""
    rows: dict[str, Any] = {}
    for row, runs in curves.items():
        speed = statistics.median(run.tokens_per_second for run in runs)
        rows[row] = {
            "parameters": runs[0].parameters,
            "precision": runs[0].precision,
            "tokens_per_second": speed,
            "tokens_per_second_ratio": speed / statistics.median(run.tokens_per_second for run in curves[NANOGPT]),
            "final_loss": statistics.median(run.final_loss for run in runs),
            "final_loss_range": [min(run.final_loss for run in runs), max(run.final_loss for run in runs)],
            "to_loss": [],
        }
        for loss in losses:
            ours, theirs = median_seconds(runs, loss), median_seconds(curves[NANOGPT], loss)
            ratio = theirs / ours if ours and theirs else None
            rows[row]["to_loss"].append({"loss": loss, "seconds": ours, "ratio": ratio})
    return rows


def lines(rows: dict[str, Any], losses: list[float]) -> str:
    """The table for people."""
    header = ["", "parameters", "precision", "tokens/s", "ratio", "final loss"]
    for loss in losses:
        header += [f"s to {loss:.4g}", "ratio"]
    body = []
    for row, figures in rows.items():
        cells = [
            row,
            f"{figures['parameters']:,}",
            figures["precision"],
            f"{figures['tokens_per_second']:,.0f}",
            f"{figures['tokens_per_second_ratio']:.2f}",
            f"{figures['final_loss']:.4f}",
        ]
        for point in figures["to_loss"]:
            cells += ["never" if point["seconds"] is None else f"{point['seconds']:.1f}"]
            cells += ["" if point["ratio"] is None else f"{point['ratio']:.2f}"]
        body.append(cells)
    return table(header, body)


def main() -> int:
    """Measure and print."""
    options = arguments()
    check(options)
    facts, threads = machine(), cores()
    # Before any child starts: both sides read these when PyTorch is loaded.
    os.environ |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory(prefix="pretrain-vs-nanogpt-") as work:
        curves = measure(options, Path(work).resolve(), threads)
    losses = targets(options, curves)
    rows = summary(curves, losses)
    if options.json:
        record = {
            "machine": facts,
            "threads": threads,
            "nanogpt_commit": commit_of(options.nanogpt),
            "shape": {"layers": LAYERS, "heads": HEADS, "width": WIDTH, "context": CONTEXT, "batch": BATCH_SIZE},
            "iterations": options.iterations,
            "repeats": options.repeats,
            "rows": rows,
            "runs": {row: [asdict(run) for run in runs] for row, runs in curves.items()},
        }
        print(json.dumps(record, indent=1))
        return 0
    print("\n".join(machine_lines(facts)))
    print(f"{options.iterations:,} steps of {BATCH_SIZE} x {CONTEXT} tokens, {threads} threads, {options.repeats} runs")
    print("loss: nats per token over the whole validation split; ratio: times as fast as nanoGPT\n")
    print(lines(rows, losses))
    return 0


if __name__ == "__main__":
    exit_with(main)
