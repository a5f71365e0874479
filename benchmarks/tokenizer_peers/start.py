"""How long a whole process takes that loads a vocabulary and encodes two words, beside an interpreter without work."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from measuring import in_turn, medians, table

from homespun.common.errors import HomespunError
from tokenizer_peers.contender import Prepared
from tokenizer_peers.contenders import CONTENDERS, OURS
from tokenizer_peers.processes import Field, one_line, surroundings

TEXT = "hello world"
JSON_LINE = '{"text": "hello world"}\n'
NOTHING, COMMAND = "python -c pass", "homespun tokenizer encode"


def measure(field: Field, files: Prepared, repeats: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of each, in turn, after one process that is not counted; and who failed, with the reason."""
    programs = {NOTHING: process([sys.executable, "-c", "pass"], "")}
    for name in field.versions:
        source = CONTENDERS[name].start
        if source:
            program = source.format(**asdict(files), text=TEXT)
            programs[name] = process([field.python(name), "-c", program], "")
    if OURS in field.versions:
        programs |= command(files)
    failed: dict[str, str] = {}
    for name, run in programs.items():
        try:
            run()
        except HomespunError as error:
            failed[name] = str(error)
    return in_turn({name: run for name, run in programs.items() if name not in failed}, repeats), failed


def command(files: Prepared) -> dict[str, Callable[[], float]]:
    """Ours as a command, a text a line; where it does not know lines yet, one text on standard input."""
    beside = Path(sys.executable).with_name("homespun")
    program = [str(beside)] if beside.exists() else [sys.executable, "-m", "homespun"]
    whole = [*program, "tokenizer", "encode", "--tokenizer", files.homespun]
    lines = process([*whole, "--jsonl"], JSON_LINE)
    try:
        lines()
    except HomespunError:
        return {COMMAND: process(whole, TEXT)}
    return {f"{COMMAND} --jsonl": lines}


def process(arguments: list[str], text: str) -> Callable[[], float]:
    """Seconds of a process from beginning to end."""

    def run() -> float:
        environment = os.environ | surroundings(1)
        started = time.perf_counter()
        done = subprocess.run(arguments, input=text, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise HomespunError(f"exit code {done.returncode}: {last}")
        return seconds

    return run


def show(title: str, seconds: dict[str, list[float]], failed: dict[str, str]) -> str:
    """A table."""
    middle = medians(seconds)
    rows = [
        [name, f"{1000 * value:.0f}", f"{1000 * min(seconds[name]):.0f}", f"{1000 * (value - middle[NOTHING]):.0f}"]
        for name, value in middle.items()
    ]
    lines = [table([title, "ms", "least", "ms above python"], rows)]
    return "\n".join(lines + [f"{name}: {one_line(reason)}" for name, reason in failed.items()])
