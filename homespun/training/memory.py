"""How much memory a training step needs, and how to make it fit: configurations and bytes in, bytes and choices out.

Counted without building anything: what is held of weights and optimizer, what autograd keeps of each token, what
the loss and the update take for a moment. All of it is added up although not quite all is held at one time.
``benchmarks/memory.py`` measures how near that is, tests count the tensors one by one. What a model keeps is its
``homespun.training.footprint``. Imports no torch.

Bytes everywhere; eager steps (compiled ones keep less).
"""

import math
from dataclasses import dataclass, replace

from homespun.common.errors import HomespunError
from homespun.models.arithmetic import matrix_parameters, packed_parameters, parameter_count, trained_parameters
from homespun.models.settings import ModelConfig
from homespun.training.footprint import FULL, HALF, footprint_of, number_bytes
from homespun.training.pieces import LOGITS_AT_ONCE
from homespun.training.settings import TrainingConfig

VALIDATION_TOKENS_AT_ONCE = 8192
PROCESS = 340_000_000  # Python, PyTorch and its kernels, before there is a tensor
LARGE_BLOCK = 32 << 20  # glibc fetches larger blocks from the system and gives them back
HOLES = 0.2  # beside each byte that a step keeps in the heap
HOLES_OF_LENGTHS = 0.5  # the same where batches are of several lengths, and tensors seldom fit where others were
# Where linear layers have low-rank differences, for each byte that a step keeps at all: what such a layer found, the
# parts of its difference and these parts together are as wide as what is kept, and soon gone; what is kept lies
# scattered among them (measured: docs/experiments.md). Of the largest tensors the parts still come from the heap.
HOLES_BESIDE_DIFFERENCES = 0.58
PREPARED = 14_000_000  # what oneDNN keeps, for products in bf16, of every length of batches
RECOMPUTED_BLOCK = 3.2  # bytes taken for each byte of the block that is worked out again


@dataclass(frozen=True)
class Memory:
    """Bytes of one process or GPU. ``copies``: matrices in bf16, and one that is unpacked where they are held in few
    bits; ``gathered``: borrowed from the other processes.

    ``kernels``: prepared for batches of each length. ``holes``: freed, but not to be used again. ``update``,
    ``validation``: what Muon's step and the exact loss of a split need beyond the room that forward and backward pass
    have left by then. ``snapshot``: the copy of all that moves, which is written down while training goes on.
    ``reading``: what a base needs in full, before it is packed, beyond the room that training takes; with a GPU it is
    in the processor's memory.
    """

    weights: float
    gradients: float
    moments: float
    copies: float
    gathered: float
    activations: float
    loss: float
    kernels: float
    holes: float
    update: float
    validation: float
    snapshot: float
    reading: float

    @property
    def total(self) -> float:
        return sum(vars(self).values())


def training_memory(
    model: ModelConfig,
    training: TrainingConfig,
    rows: int,
    shares: int = 1,
    snapshot: bool = False,
    gpu: bool = False,
    parts: int = 1,
) -> Memory:
    """``rows`` windows of ``model.context`` tokens, or images, at once, in one of ``shares`` processes with one model.

    ``gpu``: PyTorch's own allocator there fills its holes again. ``parts``: among how many every block is divided.
    """
    whole, model = model, model.part_of(parts)
    packed, number = packed_parameters(model), number_bytes(training)
    parameters, matrices = (count - packed.numbers for count in (parameter_count(model), matrix_parameters(model)))
    block, rest = matrices / model.layers, parameters - matrices
    tokens = rows * model.positions_in_row
    weights, moments = (kept / shares for kept in kept_bytes(model, training))
    # Autocast keeps the copies that it makes of whole matrices until the gradient is there.
    copies = (HALF * matrices if number == HALF else 0.0) + (FULL + HALF) * packed.largest
    # FSDP2 holds two blocks (one is fetched ahead), the embeddings and head, and the gradients of one of each. Groups
    # that divide the blocks use it as well, to average their gradients.
    gathered = FULL * (3 * block + 2 * rest) if shares > 1 or (parts > 1 and training.tensor_size) else 0.0
    activations = tokens * activation_bytes(model, training)
    loss = loss_bytes(model, number, tokens)
    holes = 0.0 if gpu else hole_bytes(model, training, tokens, loss + copies)
    update = 0.0
    if training.optimizer == "muon":
        steps, stacks = muon_bytes(whole, number, shares * parts)
        heap = 0.0 if gpu else in_heap(footprint_of(model).kept(training), tokens) + holes
        update = max(steps, heap) + stacks  # steps fit into the heap, stacks are large
    passes = copies + activations + loss + holes
    gradients = FULL * trained_parameters(model) / shares
    update = max(0.0, update - passes)
    validation = max(0.0, validation_bytes(model, training) - (passes + update))
    taken = packed.bytes + gradients + moments + gathered + passes + update + validation
    return Memory(
        weights=weights + packed.bytes,
        gradients=gradients,
        moments=moments,
        copies=copies,
        gathered=gathered,
        activations=activations,
        loss=loss,
        kernels=PREPARED * model.row_lengths if model.row_lengths > 1 and number == HALF and not gpu else 0.0,
        holes=holes,
        update=update,
        validation=validation,
        snapshot=snapshot_bytes(whole, training) if snapshot else 0.0,
        reading=0.0 if gpu else max(0.0, FULL * packed.numbers - taken),
    )


def kept_bytes(model: ModelConfig, training: TrainingConfig) -> tuple[float, float]:
    """Of weights in full precision, with their average or the best of them where they are kept; of the moments."""
    parameters, trained = parameter_count(model) - packed_parameters(model).numbers, trained_parameters(model)
    second_moments = max(0, trained - (matrix_parameters(model) if training.optimizer == "muon" else 0))
    return FULL * (parameters + trained * copies_of_trained(training)), FULL * (trained + second_moments)


def snapshot_bytes(model: ModelConfig, training: TrainingConfig) -> float:
    """Of what a checkpoint holds: weights that are trained, their copies, the moments."""
    _, moments = kept_bytes(model, training)
    return FULL * trained_parameters(model) * (1 + copies_of_trained(training)) + moments


def copies_of_trained(training: TrainingConfig) -> int:
    """How many there are of the weights that are trained besides these: their average, or the best."""
    return bool(training.average_decay) + (training.keep == "best")


def activation_bytes(model: ModelConfig, training: TrainingConfig) -> float:
    """Kept of each token until its gradient is there, in all layers (Korthikanti et al. 2022, section 4)."""
    return sum(footprint_of(model).kept(training))


def in_heap(tensors: list[float], tokens: int) -> float:
    """Bytes of those tensors, given for each token, that come from the heap of the C library."""
    return sum(tokens * tensor for tensor in tensors if tokens * tensor < LARGE_BLOCK)


def hole_bytes(model: ModelConfig, training: TrainingConfig, tokens: int, others: float) -> float:
    """What the C library's heap holds beyond the tensors in it; both shares are measured (``benchmarks/memory.py``).

    glibc gives back at once only blocks of 32 MiB and more. Below, a freed block is a hole, and often a few bytes too
    small for the next tensor of its size, which must be aligned. A recomputed block's tensors come and go three
    times, with their gradients between; it takes the room of ``others``, which are gone by then, first.
    """
    if training.recompute:
        return max(0.0, tokens * (RECOMPUTED_BLOCK - 1) * footprint_of(model).recomputed(training) - others)
    kept = footprint_of(model).kept(training)
    holes = (HOLES if model.row_lengths == 1 else HOLES_OF_LENGTHS) * in_heap(kept, tokens)
    return max(holes, HOLES_BESIDE_DIFFERENCES * tokens * sum(kept)) if model.adapted else holes


def loss_bytes(model: ModelConfig, number: int, tokens: int) -> float:
    """Of the loss, worked out piece by piece: a piece of logits, the gradients of the head and of what goes into it."""
    numbers = tokens * model.read_out_share * model.outputs
    piece = min(numbers, max(LOGITS_AT_ONCE, model.outputs))
    # Logits, their logarithms, those of the piece before if there was one; in bf16 also what is cast, before and after.
    fulls = 3 if piece < numbers else 2
    logits = piece * (fulls * FULL + (2 * HALF if number == HALF else 0))
    # The gradient of the head, what is about to be added to it, and in bf16 the head itself.
    head = model.outputs * model.width * (2 * FULL + (HALF if number == HALF else 0))
    return logits + head + FULL * tokens * model.width


def validation_rows(model: ModelConfig, training: TrainingConfig) -> int:
    """Windows in one forward pass of the exact validation, in each process: no more than training takes at once."""
    rows = max(1, VALIDATION_TOKENS_AT_ONCE // model.positions_in_row)
    return min(rows, training.micro_batch_size or rows)


def validation_bytes(model: ModelConfig, training: TrainingConfig) -> float:
    """Of a forward pass in fp32 that keeps nothing: the widest block, or a piece of logits as in training."""
    tokens = model.positions_in_row * validation_rows(model, training)
    numbers = tokens * model.read_out_share * model.outputs
    piece = min(numbers, max(LOGITS_AT_ONCE, model.outputs))
    logits = piece * (3 if piece < numbers else 2)
    return FULL * max(tokens * footprint_of(model).widest(training), logits + 2 * tokens * model.width)


def muon_bytes(model: ModelConfig, number: int, shares: int) -> tuple[float, float]:
    """Of Muon's update: gradients that may be taken back and steps; the largest stack of matrices of one shape.

    The feed-forward layers' matrices go through the polynomial together: in fp32, then twice and with two products of
    the matrix with itself in the type of the products (``homespun.training.muon``).
    """
    stack, (narrow, wide) = footprint_of(model).largest_stack()
    return FULL * matrix_parameters(model) * (1 / shares + 1), stack * (FULL + number * (2 + 2 * narrow / wide))


@dataclass(frozen=True)
class Fit:
    """So many rows at once, blocks ``recomputed`` or not; the bytes of tensors ``needed`` then."""

    rows_at_once: int
    recompute: bool
    needed: float


def fit_memory(
    model: ModelConfig,
    training: TrainingConfig,
    rows: int,
    available: float,
    fixed: frozenset[str] = frozenset(),
    shares: int = 1,
    gpu: bool = False,
    parts: int = 1,
) -> Fit:
    """The largest part of the ``rows`` of one process that fits; recomputed only where not even one row fits otherwise.

    ``available``: bytes for tensors. What the user has ``fixed`` (dotted keys) stays; who has fixed both gets it,
    fitting or not. ``HomespunError`` if nothing fits.
    """
    micro_batches, ways = divisors(rows), [False, True]
    if "training.micro_batch_size" in fixed:
        micro_batches = [training.micro_batch_size or rows]
    if "training.recompute" in fixed:
        ways = [training.recompute]
    tried = [Fit(some, way, needed_bytes(model, replace(training, recompute=way), rows, some, shares, gpu, parts))
             for way in ways for some in micro_batches]  # fmt: skip
    for fit in tried:
        if fit.needed <= available or fixed >= {"training.micro_batch_size", "training.recompute"}:
            return fit
    raise HomespunError(too_large(model, min(tried, key=lambda fit: fit.needed), available, fixed))


def largest_part(model: ModelConfig, training: TrainingConfig, rows: int, available: float) -> int:
    """The largest divisor of ``rows`` that fits as configured; 0: not even one row does."""
    return next((part for part in divisors(rows) if needed_bytes(model, training, rows, part) <= available), 0)


def needed_bytes(
    model: ModelConfig,
    training: TrainingConfig,
    rows: int,
    part: int,
    shares: int = 1,
    gpu: bool = False,
    parts: int = 1,
) -> float:
    """Of all tensors of one process that has ``rows`` windows in a step, ``part`` of them at once.

    A precision that is still open counts as fp32, which needs most and will be tried.
    """
    precision = "fp32" if training.precision == "auto" else training.precision
    micro_batch_size = 0 if part == rows else part
    training = replace(training, precision=precision, batch_size=rows, micro_batch_size=micro_batch_size)
    return training_memory(model, training, part, shares, gpu=gpu, parts=parts).total


def divisors(number: int) -> list[int]:
    """All of them, the largest first."""
    small = [part for part in range(1, math.isqrt(number) + 1) if number % part == 0]
    return sorted({*small, *(number // part for part in small)}, reverse=True)


def too_large(model: ModelConfig, least: Fit, available: float, fixed: frozenset[str]) -> str:
    """One line: what is needed, what there is, what to change."""
    changes = [f"take a smaller model than {model.width} x {model.layers}", model.shorter_rows]
    if "training.recompute" in fixed and not least.recompute:
        changes.insert(0, "set training.recompute")
    if "training.micro_batch_size" in fixed and least.rows_at_once > 1:
        changes.insert(0, "set training.micro_batch_size to 1")
    return (
        f"training needs {least.needed / 1e9:.2f} GB of memory even with {least.rows_at_once} x "
        f"{model.positions_in_row} positions at once, and {available / 1e9:.2f} GB may be used: "
        f"{', or '.join(changes)}, or share the model among more processes (torchrun and "
        "training.parallel sharded)"
    )
