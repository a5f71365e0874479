"""What a training run would need, on paper: operations, time, price, memory of each GPU. Imports no torch.

In: the configuration of a model and of its training, tokens, and the GPUs in figures. Out: an ``Estimate``.

Time follows from operations: counted operations / (GPUs x peak x utilization). Utilization is the share of the peak
that a run reaches: 0.46 for PaLM (Chowdhery et al. 2022), 0.38 to 0.43 for Llama 3 405B (Dubey et al. 2024). Memory
is counted by ``homespun.training.memory``. Left out: the time that GPUs wait for each other.

Units: operations (a multiply and an add are two), seconds, bytes; rates in TFLOP/s (1e12), memory in GB (1e9).
"""

from dataclasses import dataclass, replace

from homespun.common.errors import UsageError
from homespun.models.arithmetic import active_parameter_count, parameter_count, training_flops_per_token
from homespun.models.settings import ModelConfig
from homespun.training.footprint import HALF
from homespun.training.memory import Memory, training_memory
from homespun.training.settings import Parallel, TrainingConfig

TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022: about what is best for a given number of operations
UTILIZATION = 0.4
USABLE_MEMORY = 0.9  # the rest: CUDA itself, kernels' workspaces, gaps between tensors
RECOMPUTING = 4 / 3  # operations, with the forward pass done again (Chen et al. 2016)


@dataclass(frozen=True)
class GPU:
    """``tflops``: peak of dense matrix products with 16-bit numbers."""

    tflops: float
    memory_gb: float


# NVIDIA's data sheets; where they give the figure "with sparsity", half of it.
GPUS = {
    "v100": GPU(125.0, 16.0),
    "l4": GPU(121.0, 24.0),
    "l40s": GPU(362.0, 48.0),
    "a100": GPU(312.0, 80.0),
    "h100": GPU(989.0, 80.0),
    "h200": GPU(989.0, 141.0),
}


@dataclass(frozen=True)
class Cluster:
    """``gpus`` alike, of which each reaches ``utilization`` of its peak; the price is for one GPU and hour."""

    gpus: int = 1
    gpu: GPU = GPUS["h100"]
    utilization: float = UTILIZATION
    price_per_hour: float = 0.0

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise UsageError(f"--gpus is {self.gpus}; it must be at least 1")
        for name, value in (("--gpu-tflops", self.gpu.tflops), ("--gpu-memory-gb", self.gpu.memory_gb)):
            if not 0 < value < float("inf"):
                raise UsageError(f"{name} is {value}; it must be above 0")
        if not 0 < self.utilization <= 1:
            raise UsageError(f"--utilization is {self.utilization}; it must be above 0 and at most 1")
        if not 0 <= self.price_per_hour < float("inf"):
            raise UsageError(f"--price-per-hour is {self.price_per_hour}; it must be at least 0")

    @property
    def flops_per_second(self) -> float:
        """Of all of them, as they are used."""
        return self.gpus * self.gpu.tflops * 1e12 * self.utilization


@dataclass(frozen=True)
class Layout:
    """One way to spread a model: the memory of a GPU with one window in it, and how many would fit (0: none)."""

    name: str
    memory: Memory
    micro_batch: int


@dataclass(frozen=True)
class Estimate:
    """Everything about a run on paper; ``flops`` are counted with attention, ``rule_of_thumb_flops`` are 6 N D.

    ``active_parameters``: those that one token uses, the N of the rule; with experts they are not all. ``cache``:
    bytes that generation keeps of one text as long as the context, in 16-bit numbers.
    """

    parameters: int
    active_parameters: int
    tokens: float
    flops_per_token: float
    flops: float
    rule_of_thumb_flops: float
    seconds: float
    price: float
    cache: float
    layouts: tuple[Layout, ...]


def estimate(model: ModelConfig, training: TrainingConfig, cluster: Cluster, tokens: float | None = None) -> Estimate:
    """The estimate for ``tokens``; None: 20 for each parameter."""
    parameters = parameter_count(model)
    tokens = TOKENS_PER_PARAMETER * parameters if tokens is None else tokens
    seconds = tokens / tokens_per_second(model, training, cluster)
    return Estimate(
        parameters=parameters,
        active_parameters=active_parameter_count(model),
        tokens=tokens,
        flops_per_token=training_flops_per_token(model),
        flops=training_flops_per_token(model) * tokens,
        rule_of_thumb_flops=6.0 * active_parameter_count(model) * tokens,
        seconds=seconds,
        price=seconds / 3600 * cluster.gpus * cluster.price_per_hour,
        cache=float(HALF * model.cached_numbers()),
        layouts=tuple(
            layout(name, model, training, cluster, shares, parts)
            for name, shares in shares_by_layout(training, cluster.gpus).items()
            for parts in [replace(training, parallel=name).parts_of_block(cluster.gpus)]
            if not model.why_not_divided(parts)
        ),
    )


def tokens_per_second(model: ModelConfig, training: TrainingConfig, cluster: Cluster) -> float:
    """How fast the whole cluster trains."""
    work = training_flops_per_token(model) * (RECOMPUTING if training.recompute else 1.0)
    return cluster.flops_per_second / work


def shares_by_layout(training: TrainingConfig, gpus: int) -> dict[Parallel, int]:
    """Among how many GPUs one copy of the model is shared, by the names of ``training.parallel``."""
    return {"replicated": 1, "sharded": gpus, "hybrid": min(training.shard_size, gpus), "tensor": 1}


def layout(
    name: str, model: ModelConfig, training: TrainingConfig, cluster: Cluster, shares: int, parts: int = 1
) -> Layout:
    """Memory of one GPU of ``shares`` that share one copy of the model, and the largest micro-batch that fits.

    ``parts``: among how many GPUs every block is divided, all of them for the same micro-batch.
    """
    usable = cluster.gpu.memory_gb * 1e9 * USABLE_MEMORY

    def fits(windows: int) -> bool:
        return training_memory(model, training, windows, shares, gpu=True, parts=parts).total <= usable

    largest = 0
    step = 1 << 40
    while step:  # memory grows with the windows: halving finds the last that fits
        if fits(largest + step):
            largest += step
        step >>= 1
    return Layout(name, training_memory(model, training, 1, shares, gpu=True, parts=parts), largest)


def named_gpu(name: str, tflops: float | None, memory_gb: float | None) -> GPU:
    """A GPU of the table, with figures of one's own where they are given. ``UsageError`` for an unknown name."""
    if name.lower() not in GPUS:
        raise UsageError(
            f"--gpu {name} is not known; choose {', '.join(GPUS)}, or one of them with --gpu-tflops and --gpu-memory-gb"
        )
    known = GPUS[name.lower()]
    return replace(
        known,
        tflops=known.tflops if tflops is None else tflops,
        memory_gb=known.memory_gb if memory_gb is None else memory_gb,
    )
