"""How many processor cores this process may use."""

import os


def available_cores() -> int:
    """Fewer than the machine has where the process is bound to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
