"""The shapes of recurrent language models: what a user can write under ``[model]`` for ``lstm`` and for ``rwkv``."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from homespun.common.errors import UsageError
from homespun.models.settings.base import TextModelConfig

RANK_STEP = 32


@dataclass(frozen=True)
class LSTMConfig(TextModelConfig):
    """Layers of long short-term memory on top of each other."""

    endless: ClassVar[bool] = True
    stepwise: ClassVar[tuple[str, ...]] = ("fused", "explicit")
    rate_factor: ClassVar[float] = 4.0

    architecture: Literal["lstm"] = field(default="lstm", metadata={"help": "which model of the registry"})
    layers: int = field(default=2, metadata={"help": "recurrent layers"})

    def cached_numbers(self) -> int:
        """The state and the memory of each layer, for a text of any length."""
        return 2 * self.layers * self.width


@dataclass(frozen=True)
class RWKVConfig(TextModelConfig):
    """The sizes of one RWKV-7 model; where 0 is the default, the authors' rule by the width applies."""

    endless: ClassVar[bool] = True
    kernels: ClassVar[tuple[str, ...]] = ("fused",)
    stepwise: ClassVar[tuple[str, ...]] = ("explicit",)

    architecture: Literal["rwkv"] = field(default="rwkv", metadata={"help": "which model of the registry"})
    tied_embeddings: bool = field(default=False, metadata={"help": "the output head is the token embedding"})
    norm_epsilon: float = field(default=1e-5, metadata={"help": "added inside normalizations"})
    head_width: int = field(default=0, metadata={"help": "channels of one head (0: 64, or all where there are less)"})
    feedforward_width: int = field(default=0, metadata={"help": "hidden channels (0: 4 x width)"})
    decay_rank: int = field(default=0, metadata={"help": "rank of what a token adds to its decay (0: by the width)"})
    rate_rank: int = field(default=0, metadata={"help": "rank of what a token adds to its rate (0: by the width)"})
    value_rank: int = field(default=0, metadata={"help": "rank of the trust in the first values (0: by the width)"})
    gate_rank: int = field(default=0, metadata={"help": "rank of the gate of what is read (0: by the width)"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(0, "head_width", "feedforward_width", "decay_rank", "rate_rank", "value_rank", "gate_rank")
        if self.width % self.width_of_head:
            raise UsageError(
                f"model.width {self.width} does not divide into heads of {self.width_of_head} channels; "
                "change it or set model.head_width"
            )

    @property
    def width_of_head(self) -> int:
        """Channels of one head, with the default worked out: the 64 of the released models."""
        return self.head_width or min(64, self.width)

    @property
    def hidden_width(self) -> int:
        """Hidden channels of channel mixing, with the default worked out."""
        return self.feedforward_width or 4 * self.width

    @property
    def rank_of_decay(self) -> int:
        """With the rule of the authors' code worked out, as it was when the paper appeared; so are the three below.

        The released models have these ranks, but the gate of the one of 0.4 billion parameters, which has 128.
        """
        return self.decay_rank or nearest_rank(1.8 * self.width**0.5)

    @property
    def rank_of_rate(self) -> int:
        return self.rate_rank or nearest_rank(1.8 * self.width**0.5)

    @property
    def rank_of_value(self) -> int:
        return self.value_rank or nearest_rank(1.3 * self.width**0.5)

    @property
    def rank_of_gate(self) -> int:
        return self.gate_rank or nearest_rank(0.6 * self.width**0.8)

    def mixing_flops_per_token(self) -> float:
        """The delta rule: two products of the state with a vector, its decay, and two outer products added to it."""
        return 9.0 * self.layers * self.width * self.width_of_head

    def cached_numbers(self) -> int:
        """Of each layer two positions and the matrices of its heads, for a text of any length."""
        return self.layers * self.width * (2 + self.width_of_head)


def nearest_rank(wanted: float) -> int:
    """A multiple of 32, at least 32."""
    return max(RANK_STEP, round(wanted / RANK_STEP) * RANK_STEP)
