"""Which device, how many threads: set once, before anything is computed."""

import os

import torch

from homespun.common.errors import UsageError


def choose_device(name: str) -> torch.device:
    """``auto``: a CUDA GPU where there is one, else the processor."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"training.device {name!r} is not a device; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"training.device is {name!r} but PyTorch sees no GPU; use cpu or auto")
    return device


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(threads: int) -> int:
    """Use ``threads`` processor threads (0: one per core); results depend on the number, so it is recorded."""
    count = threads or available_cores()
    torch.set_num_threads(count)
    return count
