"""Which device, how many threads: set once, before anything is computed."""

import platform
from pathlib import Path

import torch

from homespun.common.cores import available_cores
from homespun.common.errors import UsageError


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto``: a CUDA GPU where there is one, else the processor; each process of a machine its own GPU."""
    if name == "auto":
        return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    if name == "cuda":
        name = f"cuda:{local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"training.device {name!r} is not a device; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"training.device is {name.partition(':')[0]!r} but PyTorch sees no GPU; use cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"there is no GPU {name}: PyTorch sees {torch.cuda.device_count()}; start fewer processes")
    return device


def set_threads(threads: int) -> int:
    """Use ``threads`` processor threads (0: one per core); results depend on the number, so it is recorded."""
    count = threads or available_cores()
    torch.set_num_threads(count)
    return count


def device_name(device: torch.device) -> str:
    """The device's own name, for records and for telling machines apart."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def processor_name() -> str:
    """The processor's own name where the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
