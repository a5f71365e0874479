"""What every benchmark here needs: contenders in turn, medians, a small table, and a word on the machine.

Contenders run A B A B …, never A A B B: a machine that slows down (heat, a neighbour) slows all alike.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from homespun.common.errors import HomespunError

BUSY_LOAD = 0.5  # processes that want a core, before the benchmark itself has started


def in_turn(contenders: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Call every contender ``repeats`` times, one after the other; what each returned (seconds), by name."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, measure in contenders.items():
            figures[name].append(measure())
    return figures


def medians(figures: dict[str, list[float]]) -> dict[str, float]:
    """The middle figure of every contender."""
    return {name: statistics.median(values) for name, values in figures.items()}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Processor, cores, system, Python, and how busy it was before the benchmark began."""
    return {
        "processor": processor_name(),
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def processor_name() -> str:
    """As Linux tells it; elsewhere as Python does."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_lines(facts: dict[str, Any]) -> list[str]:
    """The machine for people, with a warning where its figures are not worth much."""
    lines = [f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}"]
    if (facts["load_before"] or 0) > BUSY_LOAD:
        lines.append(f"warning: the machine was busy (load {facts['load_before']}); run again when it is quiet")
    return lines


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first to the left, all others to the right."""
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (header, *rows)
    )


def ask_program(
    module: str,
    task: dict[str, Any],
    environment: dict[str, str],
    python: str = sys.executable,
    limit_s: float | None = None,
) -> dict[str, Any]:
    """Run a module of this folder in its own process: ``task`` in JSON on its standard input, its last line back."""
    try:
        done = subprocess.run(
            [python, "-m", module], input=json.dumps(task), cwd=Path(__file__).parent, env=environment,
            timeout=limit_s, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise HomespunError(f"took more than {limit_s:g} s") from error
    except OSError as error:
        raise HomespunError(f"{python} does not run ({error})") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise HomespunError(f"{module} ended with exit code {done.returncode}: {said[-1].strip()[:160]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def tell(line: str) -> None:
    """Progress: on standard error, so that standard output holds nothing but the result."""
    print(line, file=sys.stderr, flush=True)


def exit_with(main: Callable[[], int]) -> None:
    """Run ``main``; an error that people can understand is one line and its exit code (2: wrong usage)."""
    try:
        sys.exit(main())
    except HomespunError as error:
        tell(f"{Path(sys.argv[0]).name}: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def own_and_passed_on() -> tuple[list[str], list[str]]:
    """The arguments of a benchmark: its own, and those behind ``--``, which are for the program that it measures."""
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    return given[:end], given[end + 1 :]
