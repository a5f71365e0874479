"""Mixed precision: weights stay fp32, matrix products run in bf16 where that is faster.

"Faster" is measured, not read off the processor's name: some processors multiply bf16 matrices ten
times as fast as fp32 ones, others convert every number and lose.
"""

import contextlib
from typing import Any

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The context in which a forward pass of ``precision`` (fp32 or bf16) runs."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, DTYPES[precision])
