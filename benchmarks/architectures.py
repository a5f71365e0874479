"""Question: of a GPT, an LSTM and an RWKV-7 with as many parameters, which predicts text best after the same time?

    python benchmarks/architectures.py [--data FILE…] [--minutes 5] [--seeds 1 2 3] [--json]
    python benchmarks/architectures.py --rates 0.5 1 2 [--minutes 1] [--seeds 1]

Without ``--data`` the text is valid.txt and test.txt of wikitext2/ under the folder that HOMESPUN_DATA names.

| the same for all three                            | each one's own                                           |
| text, documents held back, tokenizer, dropout     | shape: parameters within 2 % of one another              |
| seconds of training, cores                        | highest learning rate: a plan's for this shape, times    |
| optimizer, schedule, context, tokens of a step    | what ``--rates`` has shown to be best (``TUNED``)        |
|                                                   | precision and kernels: what it measures as fastest       |

Each is built by the product (``homespun build --minutes``), in turn, alone in its process; how its steps are carried
out is measured once before all runs. Before its training a GPT's plan measures more than the others'; who has less time
left for it, by a plan made beforehand, is given so many seconds more. ``--rates`` asks which rate is best: all three at
these multiples of a plan's. It judges by the documents whose loss is reported, for all three alike.

Bits per byte: the exact loss of the documents held back, in fp32, in windows as long as the context, each by itself:
the recurrent ones too begin every window with nothing, as in training. Medians over seeds, in brackets lowest and
highest. Seconds: of training and of the validations within it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import exit_with, machine, machine_lines, table, tell

from homespun.common.errors import HomespunError, UsageError
from homespun.models.arithmetic import parameter_count
from homespun.models.settings import ModelConfig, model_settings
from homespun.training.budget import learning_rate_for

VOCABULARY = 4096
COMMON: dict[str, Any] = {
    "corpus.validation_fraction": 0.1,
    "tokenizer.vocabulary_size": VOCABULARY,
    "model.context": 256,
    "model.dropout": 0.2,
    "training.batch_size": 8,
    "training.optimizer": "muon",
}
SIDES: dict[str, dict[str, Any]] = {
    "gpt": {"model.layers": 5, "model.width": 256, "model.heads": 4, "model.feedforward_width": 768},
    "lstm": {"model.layers": 2, "model.width": 464},
    "rwkv": {"model.layers": 5, "model.width": 256, "model.tied_embeddings": True},
}
TUNED = {"gpt": 1.0, "lstm": 1.0, "rwkv": 1.0}  # multiples of a plan's rate: the best of --rates
MOST_APART = 0.02
TOO_FAR_APART = 0.03  # of the seconds of training, worth a warning


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="bits per byte of gpt, lstm and rwkv at equal parameters and time")
    parser.add_argument("--data", type=Path, nargs="+", metavar="FILE", help="text [$HOMESPUN_DATA/wikitext2/*.txt]")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each run, all in all [5]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one run of each for each [1 2 3]")
    parser.add_argument("--rates", type=float, nargs="+", help="multiples of a plan's learning rates [TUNED]")
    parser.add_argument("--only", nargs="+", choices=list(SIDES), default=list(SIDES), help="these [all]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs, the table aside")
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Everything that can be wrong, before anything runs."""
    if options.data is None:
        if "HOMESPUN_DATA" not in os.environ:
            raise UsageError("--data FILE is needed (or HOMESPUN_DATA, a folder with wikitext2/)")
        options.data = [Path(os.environ["HOMESPUN_DATA"]) / "wikitext2" / name for name in ("valid.txt", "test.txt")]
    for file in options.data:
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
    sizes = {name: parameter_count(shape_of(name)) for name in SIDES}
    if max(sizes.values()) > (1 + MOST_APART) * min(sizes.values()):
        raise UsageError(f"the models are not of one size: {sizes}")


def shape_of(name: str) -> ModelConfig:
    """The settings of one side's model."""
    values = {
        key.removeprefix("model."): value for key, value in (COMMON | SIDES[name]).items() if key.startswith("model.")
    }
    return model_settings(values | {"architecture": name, "vocabulary_size": VOCABULARY})


def homespun(arguments: list[str], environment: dict[str, str]) -> str:
    """The product's command; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "homespun", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise HomespunError(f"homespun {' '.join(arguments[:2])} … ended with {done.returncode}: {said[-1].strip()}")
    return done.stdout


def rate_of(name: str, factor: float) -> float:
    """The highest learning rate: so many times what a plan gives this shape."""
    shape = shape_of(name)
    return factor * shape.rate_factor * learning_rate_for(shape.width, COMMON["training.optimizer"])


def options_of(name: str, seed: int, factor: float) -> list[str]:
    """What stands on the command line for one side."""
    own = {"model.architecture": name, "training.seed": seed, "training.learning_rate": rate_of(name, factor)}
    settings = COMMON | SIDES[name] | own
    return [word for key, value in settings.items() for word in words_of(key, value)]


def words_of(key: str, value: Any) -> list[str]:
    """A dotted key as an option."""
    option = f"--{key.replace('_', '-')}"
    return [option if value else option.replace(".", ".no-", 1)] if isinstance(value, bool) else [option, str(value)]


def factors_of(name: str, options: argparse.Namespace) -> list[float]:
    """The multiples of a plan's rate that are run."""
    return options.rates or [TUNED[name]]


def minutes_by_side(options: argparse.Namespace, environment: dict[str, str]) -> dict[str, float]:
    """The minutes of each build that leave all sides as many seconds of training, by their plans."""
    left = {}
    for side in options.only:
        tell(f"measuring {side} …")
        command = ["build", *map(str, options.data), "--minutes", str(options.minutes), "--plan", "--json"]
        command += options_of(side, 1, 1.0)
        homespun(command, environment)  # what is measured now is remembered by the runs, and by the second plan
        left[side] = json.loads(homespun(command, environment))["expected"]["training_seconds"]
    most = max(left.values())
    return {side: options.minutes + (most - seconds) / 60 for side, seconds in left.items()}


def run_of(
    name: str, seed: int, factor: float, minutes: float, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """One build; its figures."""
    out = folder / f"{name}-{seed}-{factor:g}"
    command = ["build", *map(str, options.data), "--minutes", str(minutes), "--out", str(out), "--json"]
    environment = os.environ | {"HOMESPUN_CACHE": str(folder / "cache")}
    found = json.loads(homespun([*command, *options_of(name, seed, factor)], environment))
    keys = ("bits_per_byte", "parameters", "tokens_seen", "seconds_training", "tokens_per_second", "epochs")
    figures = {"name": name, "seed": seed, "factor": factor, "minutes": minutes} | {key: found[key] for key in keys}
    tell(f"{name}, seed {seed}, rate x {factor:g}: {found['bits_per_byte']:.4f} bits per byte, "
         f"{found['tokens_seen']:,.0f} tokens in {found['seconds_training']:.0f} s")  # fmt: skip
    return figures


def rows_of(runs: list[dict[str, Any]], options: argparse.Namespace) -> list[list[str]]:
    """A line for each side and rate."""
    rows = []
    for name in options.only:
        for factor in factors_of(name, options):
            mine = [run for run in runs if run["name"] == name and run["factor"] == factor]
            middle = {key: statistics.median(run[key] for run in mine) for key in mine[0] if key != "name"}
            bits = sorted(run["bits_per_byte"] for run in mine)
            rows.append([
                name,
                f"{rate_of(name, factor):.3g}",
                f"{middle['parameters'] / 1e6:.2f} M",
                f"{middle['bits_per_byte']:.3f} [{bits[0]:.3f}, {bits[-1]:.3f}]",
                f"{middle['tokens_seen'] / 1e6:.2f} M",
                f"{middle['epochs']:.1f}",
                f"{middle['seconds_training']:.0f}",
                f"{middle['tokens_per_second']:,.0f}",
            ])  # fmt: skip
    return rows


def warnings_of(runs: list[dict[str, Any]]) -> list[str]:
    """A line where the times of training are not alike, as where a plan ends early since the text is short."""
    seconds = [run["seconds_training"] for run in runs]
    if max(seconds) <= (1 + TOO_FAR_APART) * min(seconds):
        return []
    return [f"warning: {min(seconds):.0f} to {max(seconds):.0f} seconds of training: not the same time for all"]


def main() -> int:
    """Run all, print the table."""
    options = arguments()
    check(options)
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="homespun-architectures-") as name:
        folder = Path(name)
        environment = os.environ | {"HOMESPUN_CACHE": str(folder / "cache")}
        minutes = minutes_by_side(options, environment)
        runs = [
            run_of(side, seed, factor, minutes[side], options, folder)
            for seed in options.seeds
            for side in options.only
            for factor in factors_of(side, options)
        ]
    if options.json:
        print(json.dumps({"machine": facts, "minutes": options.minutes, "runs": runs}, indent=1))
        return 0
    header = ("", "rate", "parameters", "bits per byte", "tokens seen", "passes", "seconds", "tokens/s")
    print(table(header, rows_of(runs, options)))
    print("\n".join([*warnings_of(runs), *machine_lines(facts)]))
    return 0


if __name__ == "__main__":
    exit_with(main)
