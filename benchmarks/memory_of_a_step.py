"""The other end of ``memory.py``: a task in JSON on standard input; real steps here; the peak of this process out.

``{"model": {...}, "training": {...}, "rows": 16, "steps": 2, "loss": "pieces", "snapshot": false}``. ``rows`` windows
at once; after the steps a batch of the exact validation. ``loss`` "whole" takes PyTorch's cross-entropy of all logits
instead of ours. ``snapshot``: a checkpoint is written during the second step. Prints ``{"peak_bytes": ...,
"estimate": {...}}``.
"""

import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch

from homespun.batches.batch import Batch
from homespun.models.settings import GPTConfig
from homespun.pipeline.assemble import be_deterministic
from homespun.pipeline.environment import peak_memory_bytes
from homespun.training.checkpoint import save_checkpoint, take_snapshot
from homespun.training.execution import Execution
from homespun.training.loop import Stepping, train_step
from homespun.training.machine import trial_steps
from homespun.training.memory import PROCESS, training_memory, validation_rows
from homespun.training.settings import TrainingConfig
from homespun.training.validation import exact_loss


class WholeLogits:
    """The next token's cross-entropy as one would write it first: all logits, in fp32, at once."""

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(batch.inputs).float()  # (B, T, V)
        total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
        return total, torch.tensor(batch.targets.numel())


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Carry out the steps; the peak of this process, and the estimate of it."""
    model, training, rows = GPTConfig(**task["model"]), TrainingConfig(**task["training"]), task["rows"]
    device = torch.device("cpu")
    torch.set_num_threads(1)
    be_deterministic(device)
    execution = Execution(training.precision, training.attention, recomputed=training.recompute)
    run = trial_steps(model, rows, execution, device, training)
    if task.get("loss") == "whole":
        run.objective.task = WholeLogits()
    run.objective.train()
    with tempfile.TemporaryDirectory(prefix="homespun-memory-") as folder:
        writing = None
        for step in range(task.get("steps", 2)):
            if step and writing is None and task.get("snapshot"):
                writing = write_beside(run, Path(folder))
            train_step(run, 1.0)
        windows = torch.zeros(validation_rows(model, training), model.context, dtype=torch.int64)
        exact_loss(run.objective, [Batch(windows, windows)], 1, device, "fp32")
        if writing is not None:
            writing.join()
    estimate = training_memory(model, training, rows, snapshot=task.get("snapshot", False))
    return {"peak_bytes": peak_memory_bytes(), "estimate": {"process": PROCESS} | vars(estimate)}


def write_beside(run: Stepping, folder: Path) -> threading.Thread:
    """A checkpoint, as ``homespun.training.saving`` writes it beside the training."""
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text("{}")
    snapshot = take_snapshot(run.model, {"optimizer": run.optimizer}, run.state)
    documents: dict[str, dict[str, Any]] = {"config.json": {}, "made_with.json": {}}
    thread = threading.Thread(target=save_checkpoint, args=(folder, snapshot, documents, tokenizer, 1))
    thread.start()
    return thread


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
