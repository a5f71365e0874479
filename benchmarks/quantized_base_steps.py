"""The other end of ``quantized_base.py``: a task in JSON on standard input; real steps here; peaks of this process out.

``{"body": {...}, "bits": 4, "rows": 4}``: a decoder with random weights learns by LoRA beside its matrices in so many
bits. Prints the bytes of its own weights, the peak of the process, that of the steps alone (0 where the system cannot
tell), and the estimate.
"""

import contextlib
import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch

from homespun.models.settings import AssistantConfig, GPTConfig
from homespun.models.stored import stored_tensors
from homespun.pipeline.assemble import be_deterministic
from homespun.pipeline.environment import peak_memory_bytes
from homespun.training.execution import Execution
from homespun.training.loop import train_step
from homespun.training.machine import trial_steps
from homespun.training.memory import PROCESS, training_memory
from homespun.training.settings import TrainingConfig

STEPS = 2
LEARNED = (".up", ".down", ".rows")


def measure(task: dict[str, Any]) -> dict[str, int]:
    """Build, forget the peak, carry out the steps."""
    config = AssistantConfig(body=GPTConfig(**task["body"]), trained="lora", base_bits=task["bits"])
    training = TrainingConfig(precision="fp32", attention="fused", optimizer="adamw", micro_batch_size=task["rows"])
    device = torch.device("cpu")
    torch.set_num_threads(1)
    be_deterministic(device)
    run = trial_steps(config, task["rows"], Execution("fp32", "fused"), device, training)
    run.objective.train()
    gc.collect()
    built = peak_memory_bytes()
    can_tell = forget_peak()
    for _ in range(STEPS):
        train_step(run, 1.0)
    steps_peak = status_bytes("VmHWM") if can_tell else 0
    held = stored_tensors(run.model).items()
    return {
        "base_bytes": sum(tensor.nbytes for name, tensor in held if not name.endswith(LEARNED)),
        "process_peak_bytes": max(built, steps_peak, peak_memory_bytes()),
        "steps_peak_bytes": steps_peak,
        "expected_bytes": round(PROCESS + training_memory(config, training, task["rows"]).total),
    }


def forget_peak() -> bool:
    """Linux counts the peak from now on; False where that cannot be asked for."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5)
        return True
    return False


def status_bytes(name: str) -> int:
    """A line of what Linux says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
