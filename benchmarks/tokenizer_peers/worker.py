"""The process that measures one contender once: a task in JSON on standard input, figures in JSON on the last line.

    python -m tokenizer_peers.worker < task.json        (``processes.py`` starts it)

Memory is VmHWM of /proc/self/status where there is one: on Linux ``ru_maxrss`` of a new process is not below the
peak of the process that started it. Elsewhere it is ``ru_maxrss``.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizer_peers.contender import Contender, Prepared, TrainingTask, parts_of
from tokenizer_peers.contenders import CONTENDERS

WARM_UP = "Hello, world: 123 größer мир!\n"
PART_BYTES = 100_000


def use_cores(threads: int) -> None:
    """Let the process have as many cores as threads: some libraries take all there are, whatever one tells them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def memory_now() -> int:
    """Bytes that the process holds in memory now; 0 where the system does not say."""
    return status_line("VmRSS:")


def memory_peak() -> int:
    """Bytes that it held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return status_line("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def status_line(key: str) -> int:
    """A figure of /proc/self/status in bytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 0


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, processor seconds of all threads, and what came out."""
    processor, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.perf_counter() - wall, time.process_time() - processor, result


def encode(contender: Contender, task: dict[str, Any]) -> dict[str, Any]:
    """A first pass over a text, and later passes; the ids afterwards."""
    contender.load(Prepared(**task["files"]))
    threads = task["threads"]
    raw = Path(task["text"]).read_bytes()
    as_bytes = contender.takes_bytes and not task["as_str"]
    batch = threads > 1 or contender.in_parts
    pieces = parts_of(raw, PART_BYTES) if batch else [raw]
    data: list[Any] = pieces if as_bytes else [piece.decode("utf-8") for piece in pieces]
    del raw, pieces

    def work(texts: list[Any]) -> Any:
        return contender.encode_parts(texts, threads) if batch else contender.encode(texts[0])

    line = WARM_UP.encode("utf-8") if as_bytes else WARM_UP
    work([line, line] if batch else [line])  # imports, compiled code, pools of threads
    before = memory_now()
    cold, processor, result = timed(lambda: work(data))
    peak = memory_peak()
    ids = contender.ids(result)
    checksum = hashlib.sha256(ids.astype("<u4").tobytes()).hexdigest()
    if task["ids_file"]:
        Path(task["ids_file"]).write_bytes(ids.astype("<u4").tobytes())
    tokens = len(ids)
    del ids, result
    warm: list[float] = []
    while len(warm) < task["passes"] and sum(warm) + cold < task["budget"] * (1 if warm else 1e9):
        seconds, _, result = timed(lambda: work(data))
        del result
        warm.append(seconds)
    return {
        "cold": cold, "processor": processor, "warm": warm, "tokens": tokens, "sha256": checksum,
        "memory_before": before, "memory_peak": peak,
    }  # fmt: skip


def train(contender: Contender, task: dict[str, Any]) -> dict[str, Any]:
    """Learn once, from a file to merges."""
    before = memory_now()
    seconds, processor, trained = timed(lambda: contender.train(TrainingTask(**task["training"])))
    peak = memory_peak()
    merges = [[left.hex(), right.hex()] for left, right in contender.merges(trained)]
    Path(task["merges_file"]).write_text(json.dumps(merges), "ascii")
    return {"seconds": seconds, "processor": processor, "memory_before": before, "memory_peak": peak}


def main() -> None:
    """Do what the task says; ``find`` asks which packages are here."""
    task = json.loads(sys.stdin.read())
    if task["what"] == "find":
        figures = {name: find_version(kind.package) for name, kind in CONTENDERS.items()}
    else:
        use_cores(task["threads"])
        figures = {"encode": encode, "train": train}[task["what"]](CONTENDERS[task["contender"]](), task)
    print("\n" + json.dumps(figures), flush=True)


def find_version(package: str) -> str | None:
    """The version of an installed package, None without it."""
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"


if __name__ == "__main__":
    main()
