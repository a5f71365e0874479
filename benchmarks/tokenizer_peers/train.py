"""A text -> merges: wall time from the file to the last merge, peak memory, and how far the merges agree with ours."""

import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measuring import cores, table, tell

from tokenizer_peers.contender import TrainingTask
from tokenizer_peers.contenders import CONTENDERS, OURS
from tokenizer_peers.encode import MEGABYTE, number
from tokenizer_peers.processes import Field, one_line


def measure(field: Field, task: TrainingTask, threads: int, repeats: int, folder: Path) -> dict[str, dict[str, Any]]:
    """All trainers in turn; a trainer that cannot learn with the pattern says why."""
    results: dict[str, dict[str, Any]] = {}
    runs: dict[str, list[dict[str, Any]]] = {}
    for name in field.versions:
        kind = CONTENDERS[name]
        if kind.cannot_train:
            results[name] = {"error": kind.cannot_train}
        elif kind.splits and task.name not in kind.splits:
            results[name] = {"error": f"its trainer knows the split of {', '.join(kind.splits)} only"}
        else:
            runs[name] = []
    for turn in range(repeats):
        for name, done in runs.items():
            if done and "error" in done[0]:
                continue
            tell(f"train {task.name}, turn {turn + 1} of {repeats}: {name}")
            message = {"what": "train", "training": asdict(task), "threads": threads}
            done.append(field.measure(name, message | {"merges_file": str(folder / f"{name}.merges")}))
    results |= {name: summary(done) for name, done in runs.items()}
    compare_merges(results, folder)
    return results


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the processes of one contender."""
    failed = next((run["error"] for run in runs if "error" in run), None)
    if failed:
        return {"error": failed}
    keys = ("seconds", "processor", "memory_before", "memory_peak")
    return {key: statistics.median(run[key] for run in runs) for key in keys} | {"runs": runs}


def compare_merges(results: dict[str, dict[str, Any]], folder: Path) -> None:
    """How many merges are the same in order, and how many tokens are the same in any order, as those of ours."""
    good = [name for name, result in results.items() if "error" not in result]
    merges = {name: json.loads((folder / f"{name}.merges").read_text("ascii")) for name in good}
    reference = OURS if OURS in merges else (good or [""])[0]
    expected = merges.get(reference, [])
    tokens = {left + right for left, right in expected}
    for name, learned in merges.items():
        pairs = enumerate(zip(learned, expected, strict=False))
        same = next((rank for rank, (one, other) in pairs if one != other), min(len(learned), len(expected)))
        shared = len(tokens & {left + right for left, right in learned})
        results[name] |= {"merges": len(learned), "same_in_order": same, "shared_tokens": shared}
        results[name] |= {"compared_with": reference, "equal": learned == expected}


def show(results: dict[str, dict[str, Any]], megabytes: float, threads: int) -> str:
    """A table, and who could not take part."""
    ours = results.get(OURS, {}).get("seconds")
    rows = []
    for name, result in results.items():
        if "error" in result:
            continue
        seconds = result["seconds"]
        same = "all" if result["equal"] else f"first {result['same_in_order']:,}"
        cells = [f"{seconds:.2f}", number(megabytes / seconds), number(seconds / ours if ours else None)]
        cells += [f"{result['processor'] / seconds:.1f}", f"{result['memory_before'] / MEGABYTE:.0f}"]
        cells += [f"{result['memory_peak'] / MEGABYTE:.0f}", f"{result['merges']:,}", same]
        rows.append([name, *cells, f"{100 * result['shared_tokens'] / max(1, result['merges']):.2f} %"])
    header = [
        f"{threads} of {cores()} cores", "s", "MB/s", "time / ours", "cores", "MB before", "MB peak", "merges",
        "same in order", "same tokens",
    ]  # fmt: skip
    lines = [table(header, rows)]
    lines += [f"{name}: {one_line(result['error'])}" for name, result in results.items() if "error" in result]
    return "\n".join(lines)
