"""What a training run would need, on paper: operations, time, price, memory of each GPU. Imports no torch.

In: the configuration of a model and of its training, tokens, and the GPUs in figures. Out: an ``Estimate``.

Time follows from operations: counted operations / (GPUs x peak x utilization). Utilization is the share of the peak
that a run reaches: 0.46 for PaLM (Chowdhery et al. 2022), 0.38 to 0.43 for Llama 3 405B (Dubey et al. 2024). Memory
is that of the eager step as ``homespun.training`` carries it out, with all that is ever held added up, which is an
upper bound; compiled steps keep less. Left out: dropout's masks, and the time that GPUs wait for each other.

Units: operations (a multiply and an add are two), seconds, bytes; rates in TFLOP/s (1e12), memory in GB (1e9).
"""

from dataclasses import dataclass, replace

from homespun.common.errors import UsageError
from homespun.models.arithmetic import matrix_parameters, parameter_count, training_flops_per_token, value_width
from homespun.models.settings import GPTConfig
from homespun.training.settings import TrainingConfig

TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022: about what is best for a given number of operations
UTILIZATION = 0.4
USABLE_MEMORY = 0.9  # the rest: CUDA itself, kernels' workspaces, gaps between tensors
RECOMPUTING = 4 / 3  # operations, with the forward pass done again (Chen et al. 2016)
LOGITS_AT_ONCE = 1 << 24  # as in homespun.training.cross_entropy
FULL, HALF = 4, 2  # bytes of a number


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
class Memory:
    """Bytes that one GPU holds. ``copies``: matrices in bf16; ``gathered``: borrowed from the other GPUs."""

    weights: float
    gradients: float
    moments: float
    copies: float
    gathered: float
    activations: float
    loss: float

    @property
    def total(self) -> float:
        return sum(vars(self).values())


@dataclass(frozen=True)
class Layout:
    """One way to spread a model: the memory of a GPU with one window in it, and how many would fit (0: none)."""

    name: str
    memory: Memory
    micro_batch: int


@dataclass(frozen=True)
class Estimate:
    """Everything about a run on paper; ``flops`` are counted with attention, ``rule_of_thumb_flops`` are 6 N D."""

    parameters: int
    tokens: float
    flops_per_token: float
    flops: float
    rule_of_thumb_flops: float
    seconds: float
    price: float
    layouts: tuple[Layout, ...]


def estimate(model: GPTConfig, training: TrainingConfig, cluster: Cluster, tokens: float | None = None) -> Estimate:
    """The estimate for ``tokens``; None: 20 for each parameter."""
    parameters = parameter_count(model)
    tokens = TOKENS_PER_PARAMETER * parameters if tokens is None else tokens
    seconds = tokens / tokens_per_second(model, training, cluster)
    return Estimate(
        parameters=parameters,
        tokens=tokens,
        flops_per_token=training_flops_per_token(model),
        flops=training_flops_per_token(model) * tokens,
        rule_of_thumb_flops=6.0 * parameters * tokens,
        seconds=seconds,
        price=seconds / 3600 * cluster.gpus * cluster.price_per_hour,
        layouts=tuple(
            layout(name, model, training, cluster, shares)
            for name, shares in shares_by_layout(training, cluster.gpus).items()
        ),
    )


def tokens_per_second(model: GPTConfig, training: TrainingConfig, cluster: Cluster) -> float:
    """How fast the whole cluster trains."""
    work = training_flops_per_token(model) * (RECOMPUTING if training.recompute else 1.0)
    return cluster.flops_per_second / work


def shares_by_layout(training: TrainingConfig, gpus: int) -> dict[str, int]:
    """Among how many GPUs one copy of the model is shared, by the names of ``training.parallel``."""
    return {"replicated": 1, "sharded": gpus, "hybrid": min(training.shard_size, gpus)}


def layout(name: str, model: GPTConfig, training: TrainingConfig, cluster: Cluster, shares: int) -> Layout:
    """Memory of one GPU of ``shares`` that share one copy of the model, and the largest micro-batch that fits."""
    usable = cluster.gpu.memory_gb * 1e9 * USABLE_MEMORY

    def fits(windows: int) -> bool:
        return memory(model, training, shares, windows).total <= usable

    largest = 0
    step = 1 << 40
    while step:  # memory grows with the windows: halving finds the last that fits
        if fits(largest + step):
            largest += step
        step >>= 1
    return Layout(name, memory(model, training, shares, 1), largest)


def memory(model: GPTConfig, training: TrainingConfig, shares: int, windows: int) -> Memory:
    """One GPU of ``shares`` that share one copy of the model, with ``windows`` of ``model.context`` tokens at once."""
    parameters, matrices, number = parameter_count(model), matrix_parameters(model), number_bytes(training)
    second_moments = parameters - (matrices if training.optimizer == "muon" else 0)
    block, rest = matrices / model.layers, parameters - matrices
    tokens = windows * model.context
    return Memory(
        weights=FULL * parameters * (2 if training.average_decay else 1) / shares,
        gradients=FULL * parameters / shares,
        moments=FULL * (parameters + second_moments) / shares,
        # Autocast keeps the copies that it makes of whole matrices until the gradient is there.
        copies=HALF * matrices if number == HALF else 0.0,
        # FSDP2 holds two blocks (one is fetched ahead), the embeddings and head, and the gradients of one of each.
        gathered=FULL * (3 * block + 2 * rest) if shares > 1 else 0.0,
        activations=tokens * activation_bytes(model, training),
        loss=loss_bytes(model, number, tokens),
    )


def number_bytes(training: TrainingConfig) -> int:
    """Bytes of a number in matrix products; ``auto`` is bf16 on every GPU."""
    return FULL if training.precision == "fp32" else HALF


def activation_bytes(model: GPTConfig, training: TrainingConfig) -> float:
    """Kept of each token until its gradient is there, in all layers (Korthikanti et al. 2022, section 4)."""
    number = number_bytes(training)
    plain, added = (block_activation_bytes(model, number, with_values) for with_values in (False, True))
    blocks = plain * (model.layers - model.value_embeddings) + added * model.value_embeddings
    if training.recompute:
        # What goes into each block; all of the block that is worked out again, with the gradients of its widest layer.
        again = (max(plain, added) if model.value_embeddings else plain) + 2 * FULL * model.hidden_width
        blocks = FULL * model.width * model.layers + again
    elif training.attention == "explicit":
        blocks += number * model.heads * model.context * model.layers
    last_norm = FULL * model.width * (2 if model.normalization == "rms" else 1)
    return blocks + last_norm


def block_activation_bytes(model: GPTConfig, number: int, with_values: bool) -> float:
    """Kept of each token in one block with fused attention; ``number`` bytes in matrix products, else 4.

    The residual stream before each normalization, in fp32; what goes into each of the four matrix products; queries,
    keys and values. RMSNorm keeps its result before the gain too. ``with_values``: embeddings are added to the values.
    """
    queries, values = model.heads * model.width_of_head, value_width(model)
    rms = model.normalization == "rms"
    stream = 2 * FULL * model.width
    normalized = 2 * number * model.width + (2 * FULL * model.width if rms else 0)
    projected = number * (queries + 2 * values)
    if with_values:  # the values are a tensor of their own; does anybody still look at the projection?
        looked_at = (number == FULL or not rms) if model.query_key_norm else model.positions == "learned"
        projected = number * values + (projected if looked_at else 0)
    turned = number * (queries + values) if model.query_key_norm or model.positions == "rotary" else 0
    # RMSNorm keeps queries and keys in fp32, and before that what autocast made of them.
    head_norms = (FULL if number == FULL else 2 * FULL) * (queries + values) if model.query_key_norm and rms else 0
    mixed = number * queries
    feedforward = number * model.hidden_width * (4 if model.feedforward == "swiglu" else 2)
    return stream + normalized + projected + turned + head_norms + mixed + feedforward


def loss_bytes(model: GPTConfig, number: int, tokens: int) -> float:
    """Of the loss, worked out piece by piece: a piece of logits, the gradients of the head and of what goes into it."""
    piece = min(tokens * model.vocabulary_size, max(LOGITS_AT_ONCE, model.vocabulary_size))
    # Logits, their logarithms and the logarithms of the piece before; in bf16 also what is cast, before and after.
    logits = piece * (3 * FULL + (2 * HALF if number == HALF else 0))
    # The gradient of the head, what is about to be added to it, and in bf16 the head itself.
    head = model.vocabulary_size * model.width * (2 * FULL + (HALF if number == HALF else 0))
    return logits + head + FULL * tokens * model.width


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
