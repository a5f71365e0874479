"""Where things are kept that can be made again: machine code of kernels, what was measured of this machine."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$HOMESPUN_CACHE``, else ``$XDG_CACHE_HOME/homespun``, else ``~/.cache/homespun``; it may not exist yet."""
    if named := os.environ.get("HOMESPUN_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "homespun"
