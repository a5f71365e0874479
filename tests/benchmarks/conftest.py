"""The benchmarks are programs in a folder of their own: their modules are found from there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
