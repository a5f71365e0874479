"""What one token leaves in memory while a step goes on, of any model: settings in, bytes and numbers out.

A ``Footprint`` answers for one model. Most decoders have closed forms (``DecoderFootprint``), which need no torch and
are tested tensor by tensor; every other model is traced (``homespun.training.tracing``), which needs it.
"""

from dataclasses import dataclass
from typing import Protocol

from homespun.layers.query_blocks import pairs_worked_out, query_blocks
from homespun.models.arithmetic import value_width
from homespun.models.settings import GPTConfig, ModelConfig
from homespun.training.settings import TrainingConfig

FULL, HALF = 4, 2  # bytes of a number
WHOLE = 8  # bytes of a whole number


def number_bytes(training: TrainingConfig) -> int:
    """Bytes of a number in matrix products; ``auto`` is bf16 on every GPU."""
    return FULL if training.precision == "fp32" else HALF


class Footprint(Protocol):
    """Of one model."""

    def kept(self, training: TrainingConfig) -> list[float]:
        """Bytes for each token of every tensor that a step keeps until the gradient is there."""
        ...

    def recomputed(self, training: TrainingConfig) -> float:
        """Of these, bytes for each token of the one block that is worked out again."""
        ...

    def widest(self, training: TrainingConfig) -> float:
        """Numbers for each token that one block of a forward pass holds at one time."""
        ...

    def largest_stack(self) -> tuple[int, tuple[int, int]]:
        """Numbers in all matrices of the shape that most have, and that shape, the shorter side first."""
        ...


def footprint_of(model: ModelConfig) -> Footprint:
    """By closed forms where there are some."""
    # Experts cannot be traced: who goes where is not known without numbers. With bands or post-norm the closed form is
    # near enough.
    if isinstance(model, GPTConfig) and (model.experts or (model.norm_order == "pre" and not model.window)):
        return DecoderFootprint(model)
    from homespun.training.tracing import TracedFootprint

    return TracedFootprint(model)


@dataclass(frozen=True)
class DecoderFootprint:
    """Of a pre-norm decoder that looks at everything before."""

    model: GPTConfig

    def kept(self, training: TrainingConfig) -> list[float]:
        model = self.model
        ends: list[float] = [FULL * model.width] * (
            (2 if model.normalization == "rms" else 1) + (1 if model.dropout else 0)
        )
        if training.recompute:
            return ends + [FULL * model.width] * model.layers + self.recomputed_tensors(training)
        plain, added = (block_tensors(model, training, with_values) for with_values in (False, True))
        return ends + plain * (model.layers - model.value_embeddings) + added * model.value_embeddings

    def recomputed_tensors(self, training: TrainingConfig) -> list[float]:
        """Of the block that is worked out again, with the gradients of its widest layer."""
        kinds = {False, self.model.value_embeddings > 0}
        blocks = [block_tensors(self.model, training, with_values) for with_values in kinds]
        return max(blocks, key=sum) + [FULL * hidden_numbers(self.model)] * 2

    def recomputed(self, training: TrainingConfig) -> float:
        return sum(self.recomputed_tensors(training))

    def widest(self, training: TrainingConfig) -> float:
        model = self.model
        widths = 4 * model.width + (4 if model.feedforward == "swiglu" else 2) * hidden_numbers(model)
        if model.experts:  # rows by expert, what was found, and that by position again
            widths += 3 * model.experts_per_token * model.width
        block = max(end - begin for begin, end in query_blocks(model.context))  # of one block of queries at a time
        return widths + (2 * model.heads * block if training.attention == "explicit" else 0)

    def largest_stack(self) -> tuple[int, tuple[int, int]]:
        hidden = self.model.width_of_expert if self.model.experts else self.model.hidden_width
        narrow, wide = sorted((self.model.width, hidden))
        matrices = (3 if self.model.feedforward == "swiglu" else 2) * max(1, self.model.experts)
        return self.model.layers * narrow * wide * matrices, (narrow, wide)


def hidden_numbers(model: GPTConfig) -> int:
    """Hidden channels that one token has in the feed-forward layer, or in the experts that it uses."""
    return model.experts_per_token * model.width_of_expert if model.experts else model.hidden_width


def expert_tensors(model: GPTConfig, number: int) -> list[float]:
    """Bytes for each token of what experts keep beside their hidden channels.

    What the router is asked with, in fp32; the rows by expert and what was found for them, by position; probabilities,
    and for each choice its weight before and after the sum, and whole numbers: which expert, whose turn, whose row.
    """
    chosen = model.experts_per_token
    return [FULL * model.width, number * chosen * model.width, number * chosen * model.width,
            FULL * model.experts, chosen * (2 * FULL + 3 * WHOLE) + FULL]  # fmt: skip


def block_tensors(model: GPTConfig, training: TrainingConfig, with_values: bool) -> list[float]:
    """Bytes for each token of what one block keeps.

    The residual stream before each normalization, in fp32; what goes into each of the four matrix products; queries,
    keys and values. RMSNorm keeps its result before the gain too. Explicit attention keeps its weights.
    ``with_values``: embeddings are added to the values.
    """
    number, explicit = number_bytes(training), training.attention == "explicit"
    queries, values = model.heads * model.width_of_head, value_width(model)
    rms, hidden = model.normalization == "rms", number * hidden_numbers(model)
    kept: list[float] = [FULL * model.width] * (4 if rms else 2)  # the stream, and results before the gain
    kept.append(number * model.width)
    kept += expert_tensors(model, number) if model.experts else [number * model.width]
    projected = number * (queries + 2 * values)
    if with_values or explicit:  # the values are a tensor of their own; does anybody still look at the projection?
        kept.append(number * values)
        looked_at = (number == FULL or not rms) if model.query_key_norm else model.positions == "learned"
        projected = projected if looked_at else 0
    kept.append(projected)
    if model.query_key_norm or model.positions == "rotary":
        kept += [number * queries, number * values]
    if model.query_key_norm and rms:  # queries and keys in fp32, and before that what autocast made of them
        kept += [FULL * queries, FULL * values] * (1 if number == FULL else 2)
    pairs = model.heads * model.context  # of a query and a key
    if explicit:
        pairs = model.heads * pairs_worked_out(model.context) // model.context
    if model.dropout:  # on a processor masks are full numbers, and the fused kernel gives way to products in fp32
        kept += [(number if explicit else FULL) * pairs] * 3  # weights, the mask, what it leaves of them
        kept += [number * model.width] * 2
    elif explicit:
        kept.append(number * pairs)
    kept.append(number * queries)  # what the heads have found
    return kept + ([2 * hidden, hidden, hidden] if model.feedforward == "swiglu" else [hidden, hidden])
