"""Question: how many tokens a second does a training step make, beside nanoGPT, litgpt and the book's code?

    python benchmarks/throughput.py --nanogpt DIR [--book DIR] [--peers-python PATH] [--device cuda] [--json]

Two shapes: GPT-2's smallest (12 layers, width 768, context 1024, vocabulary 50,304) and the "baby GPT" of nanoGPT's
README for a processor (4 layers, width 128, context 64, 12 windows, 65 characters). You bring the peers: DIR is a
checkout of https://github.com/karpathy/nanoGPT, of https://github.com/rasbt/LLMs-from-scratch for the book; PATH is an
interpreter with PyTorch and ``pip install litgpt matplotlib tiktoken requests``. One that is missing is left out.

| the same for all                                 | each program's own                                         |
| layers, width, heads, vocabulary, context, batch | the kind of positions, norms and feed-forward layer        |
| random ids, no dropout, threads, PyTorch         | the loop, from one batch to the next; its optimizer's code |
| the clock (``throughput_peers/stopwatch.py``)    | its precision and compilation, as the name of the row says |

Rows are PROGRAM[-PARTS]-PRECISION[-compiled][-ATTENTION]; ``--contenders 'nanogpt*'`` chooses. Ours has GPT-2's parts
(``gpt2``: learned positions, LayerNorm, GELU, as many weights as nanoGPT) or our default ones. The book's head is a
matrix of its own. Without a GPU, nanoGPT's README runs ``nanogpt-fp32``; ``nanogpt-bf16`` is our addition there.

Every measurement is a process of its own and the contenders take turns. A process says the median over sections of
half a second, after the first step and one second more; the table has median, least and most over the processes.
Start: building, compiling and the first step, with PyTorch already imported.
Share of peak: GPT-2's operations per token of this shape (attention counted as its causal half; the same count for
every row) times tokens/s, by the fastest square matrix product of any size and precision on the same threads.
"""

import argparse
import json
import os
import statistics
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from measuring import ask_program, cores, exit_with, machine, machine_lines, table, tell
from pretraining.nanogpt import check_checkout, commit_of
from throughput_peers.contenders import CONTENDERS, OURS, README, Contender, chosen
from throughput_peers.work import Shape, Work

from homespun.common.errors import HomespunError, UsageError

SHAPES = {
    "gpt2": Shape(layers=12, heads=12, width=768, vocabulary_size=50_304, context=1024, batch_size=1),
    "baby": Shape(layers=4, heads=4, width=128, vocabulary_size=65, context=64, batch_size=12),
}
BATCH_ON_GPU = 12  # of gpt2: what nanoGPT's train.py takes; on a processor one window is a step of seconds


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="training tokens/s, beside nanoGPT, litgpt and the book's code")
    parser.add_argument("--nanogpt", type=Path, metavar="DIR", help="a checkout of nanoGPT that you bring")
    parser.add_argument("--book", type=Path, metavar="DIR", help="a checkout of the book's code that you bring")
    parser.add_argument("--peers-python", default=sys.executable, metavar="PATH", help="an interpreter with the peers")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where all train [cpu]")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), help="[gpt2 baby]")
    parser.add_argument("--batch", type=int, help=f"windows in a step of gpt2 [1; on a GPU {BATCH_ON_GPU}]")
    parser.add_argument("--contenders", nargs="+", default=["*"], metavar="PATTERN", help="rows, by name [*]")
    parser.add_argument("--repeats", type=int, default=5, help="processes of each, in turn [5]")
    parser.add_argument("--seconds", type=float, default=10, help="measured in a process, at least [10]")
    parser.add_argument("--threads", type=int, default=cores(), help="processor threads [all cores]")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that one process may take [1800]")
    parser.add_argument("--list", action="store_true", help="only print the names of all rows")
    parser.add_argument("--json", action="store_true", help="print all figures for programs, the table aside")
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Everything that can be wrong, before anything runs."""
    if options.nanogpt is not None:
        check_checkout(options.nanogpt)
    if options.book is not None and not (options.book / "ch05").is_dir():
        raise UsageError(f"--book {options.book} is not a checkout of the book's code: it has no ch05")
    if Path(options.peers_python).is_file():
        options.peers_python = str(Path(options.peers_python).absolute())  # the workers run in another folder
    if not chosen(options.contenders):
        raise UsageError(f"no row fits {' '.join(options.contenders)}; --list shows them all")
    if min(options.repeats, options.threads, 1 if options.batch is None else options.batch) < 1:
        raise UsageError("--repeats, --threads and --batch must be at least 1")


def shape_of(name: str, options: argparse.Namespace) -> Shape:
    """The shape with its batch on this device."""
    if name != "gpt2":
        return SHAPES[name]
    return replace(SHAPES[name], batch_size=options.batch or (BATCH_ON_GPU if options.device == "cuda" else 1))


class Field:
    """Starts the processes; remembers who cannot take part and why."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.checkouts = {"nanogpt": options.nanogpt, "book": options.book}
        self.missing: dict[str, str] = {}

    def ask(self, python: str, task: dict[str, Any]) -> dict[str, Any]:
        """One process of the worker."""
        threads = self.options.threads
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        task |= {"threads": threads}
        return ask_program("throughput_peers.worker", task, environment, python, self.options.limit)

    def matrix_rates(self) -> dict[str, dict[str, float]]:
        """Operations per second of square products, by precision and size."""
        return self.ask(sys.executable, {"side": "peak", "device": self.options.device})["rates"]

    def measure(self, contender: Contender, shape: Shape) -> dict[str, Any] | None:
        """The figures of one process; None for one that cannot take part."""
        checkout = self.checkouts.get(contender.side, "")
        if checkout is None:
            self.missing[contender.name] = f"--{contender.side} DIR is not given"
            return None
        work = Work(
            shape, contender.way, self.options.device, self.options.threads, self.options.seconds,
            str(checkout.resolve()) if checkout else "",
        )  # fmt: skip
        python = sys.executable if contender.side == OURS else self.options.peers_python
        try:
            return self.ask(python, {"side": contender.side, "work": asdict(work)})
        except HomespunError as error:
            self.missing[contender.name] = str(error)
            return None


def measure_shape(field: Field, shape: Shape, contenders: list[Contender], repeats: int) -> dict[str, list[Any]]:
    """All processes, in turn; their figures by row."""
    runs: dict[str, list[Any]] = {}
    for repeat in range(1, repeats + 1):
        for contender in [one for one in contenders if one.name not in field.missing]:
            figures = field.measure(contender, shape)
            if figures is None:
                tell(f"{contender.name}: left out: {field.missing[contender.name]}")
                continue
            runs.setdefault(contender.name, []).append(figures)
            tell(f"repeat {repeat} of {repeats}: {contender.name}: {speed(figures):,.0f} tokens/s")
    return runs


def speed(figures: dict[str, Any]) -> float:
    """Tokens per second of one process."""
    return statistics.median(figures["tokens_per_second"])


def summary(runs: dict[str, list[Any]], shape: Shape, peak: float, reference: str) -> dict[str, dict[str, Any]]:
    """Medians, ranges, ratios to the reference row (None without it), shares of the peak."""
    medians = {name: statistics.median(map(speed, done)) for name, done in runs.items()}
    return {
        name: {
            "version": done[0]["version"],
            "torch": done[0]["torch"],
            "parameters": done[0]["parameters"],
            "tokens_per_second": medians[name],
            "range": [min(map(speed, done)), max(map(speed, done))],
            "ratio": medians[name] / medians[reference] if reference in medians else None,
            "share_of_peak": medians[name] * shape.training_flops_per_token / peak,
            "start_seconds": statistics.median(run["start_seconds"] for run in done),
            "processes": done,
        }
        for name, done in runs.items()
    }


def lines(rows: dict[str, dict[str, Any]], reference: str) -> str:
    """The table for people, the fastest first."""
    header = ["", "weights", "tokens/s", "least", "most", "x README", "of peak", "start, s"]
    body = []
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["tokens_per_second"]):
        cells = [name + (" (README)" if name == reference else ""), f"{row['parameters']:,}"]
        cells += [f"{figure:,.0f}" for figure in (row["tokens_per_second"], *row["range"])]
        cells += ["" if row["ratio"] is None else f"{row['ratio']:.2f}", f"{row['share_of_peak']:.1%}"]
        body.append([*cells, f"{row['start_seconds']:.1f}"])
    return table(header, body)


def main() -> int:
    """Measure and print."""
    options = arguments()
    if options.list:
        print("\n".join(CONTENDERS))
        return 0
    check(options)
    facts, field, contenders = machine(), Field(options), chosen(options.contenders)
    rates = field.matrix_rates()
    peak, precision, size = max((rate, kind, size) for kind, by_size in rates.items() for size, rate in by_size.items())
    commits = {name: commit_of(folder) for name, folder in field.checkouts.items() if folder is not None}
    report = [
        *machine_lines(facts),
        f"{options.device}, {options.threads} threads; peak {peak / 1e9:,.0f} GFLOP/s ({precision}, {size} x {size})",
        *(f"{name}: commit {commit}" for name, commit in commits.items()),
    ]
    record: dict[str, Any] = {
        "machine": facts, "device": options.device, "threads": options.threads, "seconds": options.seconds,
        "matrix_flops_per_second": rates, "commits": commits, "shapes": {},
    }  # fmt: skip
    for name in options.shapes:
        shape, reference = shape_of(name, options), README[options.device]
        field.missing = {}
        rows = summary(measure_shape(field, shape, contenders, options.repeats), shape, peak, reference)
        record["shapes"][name] = {"shape": asdict(shape), "rows": rows, "missing": field.missing}
        report += ["", f"{name}: {shape.batch_size} x {shape.context} tokens a step, median of {options.repeats}"]
        report += [lines(rows, reference), *(f"{row}: left out: {why}" for row, why in field.missing.items())]
    if options.json:
        tell("\n".join(report))
        print(json.dumps(record, indent=1))
    else:
        print("\n".join(report))
    return 0


if __name__ == "__main__":
    exit_with(main)
