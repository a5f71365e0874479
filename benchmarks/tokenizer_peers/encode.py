"""Texts -> ids: MB/s of a first pass and of later passes, memory, and whether all ids are the same."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import table, tell

from tokenizer_peers.contender import Prepared
from tokenizer_peers.contenders import CONTENDERS, OURS, REFERENCE
from tokenizer_peers.processes import Field, one_line

MEGABYTE = 1e6


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    repeats: int
    passes: int
    budget_s: float
    as_str: bool


def measure_case(field: Field, files: Prepared, text: Path, threads: int, effort: Effort, folder: Path) -> dict:
    """One vocabulary, text and number of threads: all contenders in turn, ``repeats`` times."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in field.versions if not CONTENDERS[name].cannot_encode}
    for turn in range(effort.repeats):
        for name, done in runs.items():
            if done and "error" in done[0]:
                continue  # it would fail again
            tell(f"{files.name}, {text.name}, {threads} thread(s), turn {turn + 1} of {effort.repeats}: {name}")
            done.append(field.measure(name, encode_task(files, text, threads, effort, ids_file(folder, name, turn))))
    results = {name: summary(done, text.stat().st_size) for name, done in runs.items()}
    compare_ids(results, folder)
    add_ratios(results)
    return results


def ids_file(folder: Path, name: str, turn: int) -> str:
    """Where the ids go; once is enough."""
    return "" if turn else str(folder / f"{name}.ids")


def encode_task(files: Prepared, text: Path, threads: int, effort: Effort, ids: str) -> dict[str, Any]:
    """For the worker."""
    return {
        "what": "encode", "files": asdict(files), "text": str(text), "threads": threads, "passes": effort.passes,
        "budget": effort.budget_s, "as_str": effort.as_str, "ids_file": ids,
    }  # fmt: skip


def summary(runs: Sequence[Mapping[str, Any]], size: int) -> dict[str, Any]:
    """Medians over the processes of one contender; the later passes of a process count as their median."""
    failed = next((run["error"] for run in runs if "error" in run), None)
    if failed:
        return {"error": failed, "runs": list(runs)}
    cold = statistics.median(run["cold"] for run in runs)
    warm = [statistics.median(run["warm"]) for run in runs if run["warm"]]
    return {
        "cold_mb_s": size / MEGABYTE / cold,
        "warm_mb_s": size / MEGABYTE / statistics.median(warm) if warm else None,
        "cores_used": statistics.median(run["processor"] / run["cold"] for run in runs),
        "memory_before": statistics.median(run["memory_before"] for run in runs),
        "memory_peak": statistics.median(run["memory_peak"] for run in runs),
        "tokens": runs[0]["tokens"],
        "sha256": runs[0]["sha256"],
        "same_every_time": len({run["sha256"] for run in runs}) == 1,
        "runs": list(runs),
    }


def compare_ids(results: dict[str, dict[str, Any]], folder: Path) -> None:
    """Say of each contender whether its ids are those of the reference (tiktoken, or else the first one)."""
    good = [name for name, result in results.items() if "error" not in result]
    if not good:
        return
    reference = REFERENCE if REFERENCE in good else good[0]
    expected = results[reference]
    for name in good:
        result = results[name]
        result["ids"] = f"as {reference}" if name != reference else "reference"
        if result["sha256"] != expected["sha256"]:
            one, other = (np.fromfile(folder / f"{who}.ids", "<u4") for who in (name, reference))
            result["ids"] = "DIFFERENT"
            result["mismatch"] = describe_mismatch(one, other, name, reference)
        elif not result["same_every_time"]:
            result["ids"] = "DIFFERENT FROM RUN TO RUN"


def describe_mismatch(one: np.ndarray, other: np.ndarray, name: str, reference: str) -> str:
    """Where two arrays of ids part."""
    common = min(len(one), len(other))
    differing = np.flatnonzero(one[:common] != other[:common])
    at = int(differing[0]) if len(differing) else common
    return (
        f"MISMATCH: {name} gives other ids than {reference} from token {at:,} on: "
        f"{one[at : at + 5].tolist()} instead of {other[at : at + 5].tolist()} ({len(one):,} and {len(other):,} tokens)"
    )


def add_ratios(results: dict[str, dict[str, Any]]) -> None:
    """How many times as fast as tiktoken, and as the fastest peer, everyone is, by pass."""
    for key in ("cold_mb_s", "warm_mb_s"):
        speeds = {name: result[key] for name, result in results.items() if result.get(key)}
        best = max((speed for name, speed in speeds.items() if name != OURS), default=None)
        for name, speed in speeds.items():
            ratios = results[name].setdefault("ratios", {})
            ratios[key] = {
                "to_tiktoken": speed / speeds[REFERENCE] if REFERENCE in speeds else None,
                "to_fastest_peer": speed / best if best else None,
            }


def show_case(title: str, results: dict[str, dict[str, Any]]) -> str:
    """A table, and below it what went wrong."""
    rows = [row(name, result) for name, result in results.items()]
    header = [
        title, "cold MB/s", "/tiktoken", "/best peer", "warm MB/s", "/tiktoken", "/best peer",
        "cores", "MB before", "MB peak", "ids",
    ]  # fmt: skip
    lines = [table(header, rows)]
    lines += [f"!!! {result['mismatch']}" for result in results.values() if "mismatch" in result]
    lines += [f"{name}: {one_line(result['error'])}" for name, result in results.items() if "error" in result]
    return "\n".join(lines)


def row(name: str, result: dict[str, Any]) -> list[str]:
    """One contender."""
    if "error" in result:
        return [name, *["-"] * 9, "failed"]
    cells = [name]
    for key in ("cold_mb_s", "warm_mb_s"):
        ratios = result.get("ratios", {}).get(key, {})
        cells += [number(result[key]), number(ratios.get("to_tiktoken")), number(ratios.get("to_fastest_peer"))]
    memory = [f"{result[key] / MEGABYTE:.0f}" for key in ("memory_before", "memory_peak")]
    return [*cells, f"{result['cores_used']:.1f}", *memory, result["ids"]]


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
