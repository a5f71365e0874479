"""The process that measures one program once: a task in JSON on standard input, figures in JSON on the last line.

    python -m throughput_peers.worker < task.json        (``throughput.py`` starts it)

``{"side": "nanogpt", "work": {…}}`` measures that side; ``{"side": "peak", …}`` the machine's matrix products.
"""

import importlib
import json
import sys
import time
from typing import Any

import torch

from throughput_peers.peak import matrix_rates
from throughput_peers.side import Built
from throughput_peers.stopwatch import Enough, Stopwatch
from throughput_peers.work import Shape, Way, Work


def measure(side: str, work: Work) -> dict[str, Any]:
    """Build, train until the watch has enough, and tell."""
    began = time.perf_counter()
    torch.manual_seed(1)
    built: Built = importlib.import_module(f"throughput_peers.{side}_side").build(work)
    watch = Stopwatch(work)
    try:
        built.train(watch)
    except Enough:
        return {
            "version": built.version, "torch": torch.__version__, "parameters": built.parameters,
            "start_seconds": watch.first_step_done - began, "tokens_per_second": watch.rates,
        }  # fmt: skip
    raise RuntimeError("the loop ended before the watch did")


def main() -> None:
    """Do what the task says."""
    task = json.loads(sys.stdin.read())
    torch.set_num_threads(task["threads"])
    if task["side"] == "peak":
        figures: dict[str, Any] = {"rates": matrix_rates(torch.device(task["device"]))}
    else:
        given = task["work"]
        figures = measure(task["side"], Work(**given | {"shape": Shape(**given["shape"]), "way": Way(**given["way"])}))
    print("\n" + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
