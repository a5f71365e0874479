"""Memory of training: the estimate beside the peak of real steps, each in a process of its own.

    python benchmarks/memory.py [--only WORDS] [--most-gb 9] [--json FILE]

Every case carries out two real steps (forward, backward, clipping, update) and one batch of the exact validation, and
reads the most memory that its process ever held. Afterwards the loss in one piece, on all logits, beside ours. Takes
half an hour; a busy machine does no harm, one that is short of memory does: cases that are expected to need more than
``--most-gb`` are passed over.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from measuring import ask_program, exit_with, machine, table, tell

from homespun.models.settings import GPTConfig
from homespun.training.memory import PROCESS, training_memory
from homespun.training.settings import TrainingConfig

PROMISED = 0.15
SMALL = {"vocabulary_size": 4096, "context": 256, "layers": 4, "width": 128, "heads": 2}
MIDDLE = {"vocabulary_size": 4096, "context": 256, "layers": 8, "width": 512, "heads": 8}
GPT2_SMALL = {"vocabulary_size": 50304, "context": 1024, "layers": 12, "width": 768, "heads": 12}
GPT2_MEDIUM = {"vocabulary_size": 50304, "context": 1024, "layers": 24, "width": 1024, "heads": 16}
GPT2_PARTS = {"positions": "learned", "normalization": "layer", "feedforward": "gelu", "biases": True,
              "query_key_norm": False}  # fmt: skip
PLAIN = {"precision": "fp32", "attention": "fused", "optimizer": "adamw"}
WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "fp32 explicit": {"attention": "explicit"},
    "fp32 recomputed": {"recompute": True},
    "bf16 recomputed": {"precision": "bf16", "recompute": True},
    "bf16 explicit recomputed": {"precision": "bf16", "attention": "explicit", "recompute": True},
    "fp32 Muon": {"optimizer": "muon"},
    "bf16 Muon": {"precision": "bf16", "optimizer": "muon"},
}
LARGE = ("fp32 recomputed", "bf16 recomputed", "bf16")  # ways of shapes whose steps take minutes
SHAPES = {
    "128 x 4, 16 x 256": (SMALL, 16, tuple(WAYS)),
    "512 x 8, 16 x 256": (MIDDLE, 16, tuple(WAYS)),
    "512 x 8, GPT-2's parts, 16 x 256": (MIDDLE | GPT2_PARTS, 16, ("fp32", "bf16", "fp32 recomputed")),
    "768 x 12, 1 x 1024": (GPT2_SMALL, 1, tuple(WAYS)),
    "768 x 12, 8 x 1024": (GPT2_SMALL, 8, LARGE),
    "1024 x 24, 1 x 1024": (GPT2_MEDIUM, 1, (*LARGE, "bf16 Muon")),
}


def cases() -> dict[str, dict[str, Any]]:
    """Every shape in its ways, and some with a checkpoint written beside or with dropout."""
    found = {
        f"{shape}, {way}": {"model": model, "rows": rows, "training": PLAIN | WAYS[way]}
        for shape, (model, rows, ways) in SHAPES.items()
        for way in ways
    }
    for shape, way in (("512 x 8, 16 x 256", "fp32"), ("768 x 12, 1 x 1024", "bf16")):
        plain = found[f"{shape}, {way}"]
        found[f"{shape}, {way}, checkpoint"] = plain | {"snapshot": True}
        found[f"{shape}, {way}, dropout"] = plain | {"model": plain["model"] | {"dropout": 0.1}}
    return found


def expected(task: dict[str, Any]) -> float:
    """The estimate of one case, in bytes."""
    model, training = GPTConfig(**task["model"]), TrainingConfig(**task["training"])
    return PROCESS + training_memory(model, training, task["rows"], snapshot=task.get("snapshot", False)).total


def ask(task: dict[str, Any]) -> dict[str, Any]:
    """What the process that carried out the steps has to say."""
    return ask_program("memory_of_a_step", task, os.environ | {"OMP_NUM_THREADS": "1"})


def compare_estimates(words: str, most_bytes: float) -> list[dict[str, Any]]:
    """Estimate and measurement of every case whose name has ``words`` in it."""
    rows = []
    for name, task in cases().items():
        if words not in name:
            continue
        if expected(task) > most_bytes:
            tell(f"{name}: passed over, expected to need {expected(task) / 1e9:.2f} GB")
            continue
        tell(name)
        answer = ask(task)
        total = sum(answer["estimate"].values())
        rows.append({"case": name, "estimate_bytes": total, "off": total / answer["peak_bytes"] - 1} | answer)
    return rows


def compare_losses(most_bytes: float) -> dict[str, int]:
    """Peaks with all logits at once and in pieces, 8 x 1,024 tokens and 50,304 of vocabulary; one narrow layer."""
    model = {"vocabulary_size": 50304, "context": 1024, "layers": 1, "width": 256, "heads": 4}
    task = {"model": model, "rows": 8, "training": PLAIN}
    if 4 * expected(task) > most_bytes:
        return {}
    peaks = {}
    for loss in ("whole", "pieces"):
        tell(f"loss: {loss}")
        peaks[loss] = ask(task | {"loss": loss})["peak_bytes"]
    return peaks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name has these words in it")
    parser.add_argument("--most-gb", type=float, default=9.0, help="larger cases are passed over")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    facts = machine()
    rows = compare_estimates(options.only, options.most_gb * 1e9)
    losses = compare_losses(options.most_gb * 1e9) if not options.only else {}
    print(f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}")
    cells = [(row["case"], *(f"{row[key] / 1e9:.2f}" for key in ("estimate_bytes", "peak_bytes")),
              f"{100 * row['off']:+.0f} %") for row in rows]  # fmt: skip
    print(table(("peak of two steps", "estimate GB", "measured GB", "off"), cells))
    for name, peak in losses.items():
        print(f"loss in {'one piece' if name == 'whole' else 'pieces'}: {peak / 1e9:.2f} GB")
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "cases": rows, "losses": losses}, indent=1))
    return 0 if all(abs(row["off"]) <= PROMISED for row in rows) else 1


if __name__ == "__main__":
    exit_with(main)
