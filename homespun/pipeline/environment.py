"""What a run ran on, as a flat record for the run folder and the report."""

import contextlib
import ctypes
import gc
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy
import torch

from homespun import __version__
from homespun.training.device import available_cores, processor_name
from homespun.training.world import processes_here

SMALL_MEMORY = 8 << 30  # where the system does not tell how much there is


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


def free_memory_bytes(device: torch.device) -> int:
    """Memory that this process may still take: of the GPU, or its share of the machine's.

    What was measured before a run has left freed memory behind, which is given back first.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    with contextlib.suppress(AttributeError, OSError):  # other C libraries do not have it
        ctypes.CDLL(None).malloc_trim(0)
    return (available_memory_bytes() or SMALL_MEMORY) // processes_here()


def available_memory_bytes() -> int:
    """Memory of the machine that can be had now, within what a container allows; 0 where the system does not tell."""
    try:  # Linux: files that are only kept to be read again give way
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text("utf-8").splitlines())
        available = int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        try:
            available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        except (ValueError, OSError, AttributeError):
            return 0
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text("utf-8")) for name in ("memory.max", "memory.current"))
        facts = dict(line.split() for line in (group / "memory.stat").read_text("utf-8").splitlines())
        return max(0, min(available, limit - used + int(facts["inactive_file"])))
    except (OSError, KeyError, ValueError):  # no container, or one without a limit ("max")
        return available


def peak_memory_bytes() -> int:
    """The most memory this process has held."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
