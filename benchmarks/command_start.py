"""Question: how long does a command take that computes nothing, and is it true that it does not import PyTorch?

    python benchmarks/command_start.py [--repeats N] [--json]

Wall time of whole processes, in turn, beside an interpreter that does nothing (``python -c pass``): the
difference is what homespun adds. Whether ``torch`` was imported is asked of each command in a run of its
own after the clock; if one imported it, the exit code is 1.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from measuring import exit_with, in_turn, machine, machine_lines, medians, table

from homespun.common.errors import HomespunError, UsageError

ROOT = Path(__file__).resolve().parent.parent
NOTHING = "python -c pass"
COMMANDS = {
    "homespun --help": ["--help"],
    "homespun build --help": ["build", "--help"],
    "homespun config show": ["config", "show"],
}
HEAVY = "torch"
ASK = f"""
import sys
from homespun.cli.main import run
try:
    run(sys.argv[1:])
finally:
    print({HEAVY!r} in sys.modules, file=sys.stderr)
"""


def run_python(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """One process from beginning to end, its output kept from the terminal."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HomespunError(f"python {' '.join(arguments)[:60]!r} ended with exit code {done.returncode}: {last}")
    return done


def timer(arguments: list[str]) -> Callable[[], float]:
    """Seconds of one process."""

    def measure() -> float:
        started = time.perf_counter()
        run_python(arguments)
        return time.perf_counter() - started

    return measure


def imports_torch(arguments: list[str]) -> bool:
    """Whether the command, run to its end, has imported PyTorch."""
    return run_python(["-c", ASK, *arguments]).stderr.strip().splitlines()[-1] == "True"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="wall time of commands that compute nothing")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each, in turn [7]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    options = parser.parse_args()
    if options.repeats < 1:
        raise UsageError("--repeats must be at least 1")
    facts = machine()
    contenders = {NOTHING: timer(["-c", "pass"])}
    contenders |= {name: timer(["-m", "homespun", *command]) for name, command in COMMANDS.items()}
    for warm_up in contenders.values():
        warm_up()  # bytecode and the disk's cache
    seconds = in_turn(contenders, options.repeats)
    middle = medians(seconds)
    heavy = {name: imports_torch(command) for name, command in COMMANDS.items()}
    if options.json:
        print(json.dumps({"machine": facts, "seconds": seconds, "median": middle, "imports_torch": heavy}, indent=1))
        return int(any(heavy.values()))
    print("\n".join(machine_lines(facts)))
    print(f"wall time of whole processes, median of {options.repeats}\n")
    rows = [
        [name, f"{1000 * value:.0f}", f"{1000 * (value - middle[NOTHING]):.0f}", answer(heavy.get(name))]
        for name, value in middle.items()
    ]
    print(table(["", "ms", "ms above python", f"imports {HEAVY}"], rows))
    return int(any(heavy.values()))


def answer(value: bool | None) -> str:
    """For the table."""
    return "" if value is None else ("yes" if value else "no")


if __name__ == "__main__":
    exit_with(main)
