"""Measurements as processes of their own: a task for the worker in, its figures out, or why there are none."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.common.errors import HomespunError, UsageError
from tokenizer_peers.contenders import CONTENDERS, OURS

BENCHMARKS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Field:
    """Who takes part, in which interpreters, and how long one process may take."""

    versions: dict[str, str]
    peers_python: str
    limit_s: float

    def python(self, contender: str) -> str:
        """Ours runs in the interpreter of the benchmark."""
        return sys.executable if contender == OURS else self.peers_python

    def measure(self, contender: str, task: dict[str, Any]) -> dict[str, Any]:
        """The figures of one process; ``error`` in them says in one line why there are none."""
        environment = os.environ | surroundings(task["threads"])
        try:
            return ask_worker(
                self.python(contender), {"contender": contender, **task}, environment, self.limit_s, BENCHMARKS
            )
        except subprocess.TimeoutExpired:
            return {"error": f"took more than {self.limit_s:g} s"}
        except HomespunError as error:
            return {"error": str(error)}


def surroundings(threads: int) -> dict[str, str]:
    """The number of threads in every way that one of the libraries heeds, and no cache that tiktoken would write."""
    names = ("RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    parallel = "true" if threads > 1 else "false"
    return dict.fromkeys(names, str(threads)) | {"TOKENIZERS_PARALLELISM": parallel, "TIKTOKEN_CACHE_DIR": ""}


def ask_worker(
    python: str, task: dict[str, Any], environment: dict[str, str], limit_s: float | None, folder: Path
) -> dict[str, Any]:
    """Run the worker to its end; what it says last."""
    done = subprocess.run(
        [python, "-m", "tokenizer_peers.worker"],
        input=json.dumps(task), cwd=folder, env=environment, timeout=limit_s, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise HomespunError(f"ended with exit code {done.returncode}: {lines[-1].strip()[:160]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def find_field(peers_python: str, wanted: list[str], limit_s: float) -> Field:
    """Everyone who is wanted and installed."""
    if unknown := [name for name in wanted if name not in CONTENDERS]:
        raise UsageError(f"no contender is called {unknown[0]!r}; there are {', '.join(CONTENDERS)}")
    try:
        installed = ask_worker(peers_python, {"what": "find"}, dict(os.environ), 120, BENCHMARKS)
    except (OSError, HomespunError) as error:
        raise UsageError(f"--peers-python {peers_python}: no interpreter that runs ({error})") from error
    from homespun import __version__

    installed[OURS] = __version__
    versions = {name: installed[name] for name in CONTENDERS if name in wanted and installed[name]}
    return Field(versions, peers_python, limit_s)


def one_line(error: str) -> str:
    """For a cell of a table."""
    return error if len(error) <= 60 else error[:57] + "..."
