"""What a run ran on, as a flat record for the run folder and the report."""

import os
import platform
import sys
from typing import Any

import numpy
import torch

from homespun import __version__
from homespun.training.device import available_cores, processor_name


def describe_environment(device: torch.device, threads: int) -> dict[str, Any]:
    """Versions, processor, memory, device."""
    return {
        "homespun": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_bytes": memory_bytes(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": threads,
    }


def memory_bytes() -> int:
    """Memory of the machine in bytes; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def available_memory_bytes() -> int:
    """Memory that is free now; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def peak_memory_bytes() -> int:
    """The most memory this process has held."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
