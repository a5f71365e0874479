"""``homespun`` commands in processes of their own, forked from one that has imported everything.

Importing takes longer than the runs that are tried here.
"""

import dataclasses
import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import homespun.pipeline.build  # noqa: F401  once, for all the processes that are forked from this one
from homespun.cli.main import run as run_command
from homespun.common.errors import HomespunError

FORK = multiprocessing.get_context("fork")


@dataclasses.dataclass
class Session:
    """A ``homespun`` command in a process of its own; what it says goes to ``log``."""

    process: Any
    log: Path

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, None if it still runs after ``seconds``."""
        self.process.join(seconds)
        return self.process.exitcode

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.process.pid, number)
        self.process.join()

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")


def start(arguments: list[str], log: Path, prepare: Callable[[], None] = lambda: None) -> Session:
    """Begin a command; ``prepare`` runs in its process before it."""
    process = FORK.Process(target=work, args=(arguments, log, prepare))
    process.start()
    return Session(process, log)


def work(arguments: list[str], log: Path, prepare: Callable[[], None]) -> None:
    """What the forked process does."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    prepare()
    code = run_command(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def finish(arguments: list[str], log: Path) -> float:
    """A command that must succeed; its seconds."""
    began = time.monotonic()
    finished(arguments, start(arguments, log))
    return time.monotonic() - began


def finished(arguments: list[str], session: Session) -> None:
    """Wait for the end of a command that must succeed."""
    if session.wait():
        raise HomespunError(f"homespun {shlex.join(arguments)} failed: {session.said().strip().splitlines()[-1]}")


def wait_until(what: Callable[[], bool], session: Session) -> None:
    """Until it is so, or the session has ended."""
    while not what() and session.wait(0.002) is None:
        pass


def refused(session: Session) -> bool:
    """Exit code 1 and one line of ours."""
    code = session.wait()
    return code == 1 and len([line for line in session.said().splitlines() if line.startswith("homespun: ")]) == 1
