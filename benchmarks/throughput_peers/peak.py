"""The machine's peak: operations per second of square matrix products, the best of several sizes and precisions."""

import time

import torch

SIZES = {"cpu": (512, 1024, 2048, 4096), "cuda": (2048, 4096, 8192, 16384)}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
SECONDS = 2.0  # for each size and precision
LEAST_PRODUCTS = 3


def matrix_rates(device: torch.device) -> dict[str, dict[str, float]]:
    """``{"bf16": {"2048": operations per second, …}, …}``."""
    return {
        name: {str(size): matrix_rate(size, dtype, device) for size in SIZES[device.type]}
        for name, dtype in PRECISIONS.items()
    }


def matrix_rate(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Of the fastest product: what the machine can do, not what it does on average."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    result = left @ right  # to warm up
    fastest, products, spent = float("inf"), 0, 0.0
    while spent < SECONDS or products < LEAST_PRODUCTS:
        began = now(device)
        torch.mm(left, right, out=result)
        elapsed = now(device) - began
        fastest, products, spent = min(fastest, elapsed), products + 1, spent + elapsed
    return 2 * size**3 / fastest


def now(device: torch.device) -> float:
    """Seconds, once the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
