"""Question: how well does a base learn to answer, and what does each way of finetuning cost?

    python benchmarks/instructions.py BASE --out DIR [--data DIR] [--sets book,alpaca] [--ways full,lora]
        [--seeds 5] [--preferences] [--json]
    python benchmarks/instructions.py BASE --out DIR … -- --conversations.epochs 4   (all behind -- goes to each)

BASE is a run folder of any decoder. The product itself does the work: ``homespun finetune instructions`` on each set,
in each way, with one seed after another for the held-out questions, the order and dropout. Told are the loss per answer
token on the held-out questions, how often a short answer is right to the letter, and the bytes of the optimizer's
state. ``--preferences``: each assistant of the book's set that was finetuned in full then learns which of two answers
is preferred (DPO).

Sets, from ``--data`` or ``$HOMESPUN_DATA``: ``book`` (1,100 instructions), ``alpaca`` (9,229). ``--out`` keeps all
runs; one that is there already is only read, one that was stopped goes on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import exit_with, machine, machine_lines, own_and_passed_on, table, tell

from homespun.common.errors import HomespunError, UsageError

BOOK = "book"
SETS = {BOOK: "instruction-data/instruction-data.json", "alpaca": "alpaca-9k/alpaca_random_9k.json.zst"}
PAIRS = "instruction-data/instruction-data-with-preference.json"
FIGURES = {
    "loss, nats per answer token": "{:.4f}",
    "short answers right, %": "{:.2f}",
    "state of the optimizer, MB": "{:.3f}",
    "seconds of training": "{:.0f}",
}
PREFERENCE_FIGURES = {"loss": "{:.4f}", "margin": "{:.3f}", "accuracy": "{:.3f}"}


def main() -> int:
    """Finetune, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="the run folder of the base")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--data", type=Path, help="the folder of the sets [$HOMESPUN_DATA]")
    parser.add_argument("--sets", default=BOOK, help=f"of {', '.join(SETS)}, with commas [{BOOK}]")
    parser.add_argument("--ways", default="full,lora", help="of full, last-layers, lora, with commas [full,lora]")
    parser.add_argument("--seeds", type=int, default=5, help="how many [5]")
    parser.add_argument("--preferences", action="store_true", help="then preferences, on top of the book's set")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    own, passed_on = own_and_passed_on()
    options = parser.parse_args(own)
    data = options.data or Path(os.environ.get("HOMESPUN_DATA", ""))
    if unknown := [name for name in options.sets.split(",") if name not in SETS]:
        raise UsageError(f"there is no set {unknown[0]!r}; known: {', '.join(SETS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    facts, figures = machine(), {}
    for name in options.sets.split(","):
        for way in options.ways.split(","):
            runs = [options.out / f"{name}-{way}-{seed}" for seed in range(1, options.seeds + 1)]
            for seed, run in enumerate(runs, 1):
                more = ["--train", way, "--conversations.split-seed", str(seed), *passed_on]
                finetune("instructions", options.base, data / SETS[name], run, seed, more)
            figures[f"{name}, {way}"] = collected(map(answers_of, runs))
    preferred = preferences(options.out, data, options.seeds) if options.preferences else {}
    if options.json:
        print(json.dumps({"machine": facts, "answers": figures, "preferences": preferred}, indent=1))
        return 0
    print("\n".join([*machine_lines(facts), "", *lines(figures, FIGURES), *lines(preferred, PREFERENCE_FIGURES)]))
    return 0


def preferences(out: Path, data: Path, seeds: int) -> dict[str, dict[str, list[float]]]:
    """Assistants of the book's set learn the pairs; the questions that were held back from them are held back again."""
    runs = []
    for seed in range(1, seeds + 1):
        runs.append(out / f"preferences-{seed}")
        more = ["--preferences.split-seed", str(seed)]
        finetune("preferences", out / f"{BOOK}-full-{seed}", data / PAIRS, runs[-1], seed, more)
    return {"preferences": collected(map(preferences_of, runs))}


def finetune(command: str, base: Path, file: Path, run: Path, seed: int, more: list[str]) -> None:
    """One run in its own process, unless it is there."""
    if (run / "result.json").exists():
        return
    tell(f"{run.name} …")
    arguments = ["finetune", command, str(base), str(file), "--training.seed", str(seed), "--out", str(run), *more]
    if (run / "run.json").exists():
        arguments = ["train", "--resume", str(run)]
    done = subprocess.run([sys.executable, "-m", "homespun", *arguments], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise HomespunError(f"homespun {' '.join(arguments[:2])} ended with exit code {done.returncode}")


def answers_of(run: Path) -> dict[str, float]:
    """The figures of one run."""
    result = json.loads((run / "result.json").read_text("utf-8"))
    (optimizer,) = sorted(run.glob("checkpoints/*/optimizer.safetensors"))[-1:]
    values = (
        result["validation_loss"],
        100 * result["answers"]["exact_match"]["value"],
        optimizer.stat().st_size / 1e6,
        result["seconds_training"],
    )
    return dict(zip(FIGURES, values, strict=True))


def preferences_of(run: Path) -> dict[str, float]:
    """The same of one that learned preferences."""
    figures = json.loads((run / "result.json").read_text("utf-8"))["preferences"]
    return {name: figures[name]["value"] for name in PREFERENCE_FIGURES}


def collected(records: Any) -> dict[str, list[float]]:
    """Figures of all seeds, by name."""
    found: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.items():
            found.setdefault(name, []).append(value)
    return found


def lines(figures: dict[str, dict[str, list[float]]], shown: dict[str, str]) -> list[str]:
    """For people: a table for each figure."""
    told = []
    for figure, form in shown.items() if figures else ():
        rows = [
            [name, *(form.format(f(values[figure])) for f in (statistics.fmean, min, max)), str(len(values[figure]))]
            for name, values in figures.items()
        ]
        told += [table(("set, way", figure, "least", "most", "seeds"), rows), ""]
    return told


if __name__ == "__main__":
    exit_with(main)
