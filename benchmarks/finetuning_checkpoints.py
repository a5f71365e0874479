"""Question: what does a checkpoint of a finetuning take, now that it holds only what moves?

    python benchmarks/finetuning_checkpoints.py [--width 768] [--layers 12] [--vocabulary 50257] [--rank 8] [--json]

A decoder of the given size with random weights is finetuned for one step by AdamW, in each way; then the product's own
functions write a checkpoint and read it again. Beside each stands a checkpoint that holds the whole model, as all did
before. Told are the bytes of its folder, the seconds from the copy of the tensors to the last rename, and the seconds
from looking for the newest checkpoint to a model that can be used; they take turns, and the middle one counts.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measuring import exit_with, in_turn, machine, machine_lines, medians, table, tell

from homespun.common.configuration import flatten
from homespun.common.files import sha256_of_file
from homespun.inference.load import load_in_use
from homespun.models.settings import AssistantConfig, GPTConfig
from homespun.models.stored import stored_tensors
from homespun.training.checkpoint import Snapshot, newest_checkpoint, save_checkpoint, take_snapshot, write_tensors
from homespun.training.execution import Execution
from homespun.training.kept_base import FOLDER, WEIGHTS
from homespun.training.loop import Stepping, train_step
from homespun.training.machine import trial_steps
from homespun.training.settings import TrainingConfig

WAYS: dict[str, dict[str, Any]] = {
    "last-layers": {"trained": "last-layers"},
    "lora": {"trained": "lora"},
    "lora, 4 bits": {"trained": "lora", "base_bits": 4},
}
TRAINING = TrainingConfig(precision="fp32", attention="fused", optimizer="adamw", compile="off")


@dataclass(frozen=True)
class Kept:
    """Bytes of a checkpoint's folder; seconds of writing and of reading it."""

    bytes: int
    save: float
    load: float


def main() -> int:
    """Every way, both forms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=768, help="[768]")
    parser.add_argument("--layers", type=int, default=12, help="[12]")
    parser.add_argument("--vocabulary", type=int, default=50_257, help="[50257]")
    parser.add_argument("--rank", type=int, default=8, help="of the differences [8]")
    parser.add_argument("--repeats", type=int, default=3, help="[3]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    options = parser.parse_args()
    facts = machine()
    body = GPTConfig(vocabulary_size=options.vocabulary, context=64, layers=options.layers, width=options.width,
                     heads=max(1, options.width // 64))  # fmt: skip
    found = {}
    for name, way in WAYS.items():
        tell(f"{name} …")
        found[name] = measure(AssistantConfig(body=body, lora_rank=options.rank, **way), options.repeats)
    if options.json:
        print(json.dumps({"machine": facts, "body": flatten(body), "rank": options.rank, "ways": {
            name: {form: vars(kept) for form, kept in forms.items()} for name, forms in found.items()
        }}, indent=1))  # fmt: skip
        return 0
    rows = [
        [f"{name}: {form}", f"{kept.bytes / 1e6:.1f}", f"{kept.save:.2f}", f"{kept.load:.2f}"]
        for name, forms in found.items()
        for form, kept in forms.items()
    ]
    print("\n".join([*machine_lines(facts), "", table(("a checkpoint", "MB", "s to save", "s to load"), rows)]))
    return 0


def measure(config: AssistantConfig, repeats: int) -> dict[str, Kept]:
    """Of what moves, and of everything."""
    with tempfile.TemporaryDirectory(prefix="homespun-checkpoints-") as name:
        run = stepped(config, Path(name) / FOLDER)
        forms = {"what moves": Path(name) / "moves", "everything": Path(name) / "everything"}
        documents = documents_of(config, Path(name) / FOLDER / WEIGHTS)
        for folder in forms.values():  # each has its base beside its checkpoints, as a run has
            folder.mkdir()
            (folder / FOLDER).symlink_to(Path(name) / FOLDER)
        saves = in_turn({form: saver(run, documents, folder, form) for form, folder in forms.items()}, repeats)
        loads = in_turn({form: loader(config, folder) for form, folder in forms.items()}, repeats)
        saved, loaded = medians(saves), medians(loads)
        return {form: Kept(bytes_of(folder / "checkpoints"), saved[form], loaded[form])
                for form, folder in forms.items()}  # fmt: skip


def stepped(config: AssistantConfig, base: Path) -> Stepping:
    """A model after one step, with moments; its base, with the weights that chance gave to both, in a folder."""
    run = trial_steps(config, 1, Execution("fp32", "fused"), torch.device("cpu"), TRAINING)
    in_full = replace(config, trained="full", base_bits=32)
    body = trial_steps(in_full, 1, Execution("fp32", "fused"), torch.device("cpu"), TRAINING).model.body
    base.mkdir()
    write_tensors({name: one.detach() for name, one in body.named_parameters()}, base / WEIGHTS)
    run.objective.train()
    train_step(run, 1.0)
    return run


def documents_of(config: AssistantConfig, base: Path) -> dict[str, dict[str, Any]]:
    """What a checkpoint says of itself."""
    return {"config.json": flatten(config), "made_with.json": {"data": {"base": sha256_of_file(base)}}}


def saver(run: Stepping, documents: dict[str, dict[str, Any]], folder: Path, form: str) -> Callable[[], float]:
    """Seconds of a save, from the copy on."""

    def save() -> float:
        began = time.monotonic()
        snapshot = take_snapshot(run.model, {"optimizer": run.optimizer}, run.state)
        if form == "everything":
            weights = {name: one.detach().clone() for name, one in stored_tensors(run.model).items()}
            snapshot = Snapshot(weights, snapshot.moving, snapshot.state)
        save_checkpoint(folder / "checkpoints", snapshot, documents, None, 1)
        return time.monotonic() - began

    return save


def loader(config: AssistantConfig, folder: Path) -> Callable[[], float]:
    """Seconds until the model can be used."""

    def load() -> float:
        began = time.monotonic()
        checkpoint = newest_checkpoint(folder / "checkpoints", tell, clean=False)
        assert checkpoint is not None
        load_in_use(checkpoint, config)
        return time.monotonic() - began

    return load


def bytes_of(folder: Path) -> int:
    """Of all files within."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    exit_with(main)
