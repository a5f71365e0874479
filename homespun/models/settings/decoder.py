"""The shape of a decoder-only transformer: what a user can write under ``[model]`` for ``architecture = "gpt"``."""

from dataclasses import dataclass, field, replace
from typing import Literal

from homespun.common.errors import UsageError
from homespun.models.settings.base import TextModelConfig


@dataclass(frozen=True)
class GPTConfig(TextModelConfig):
    """The parts and sizes of one decoder-only transformer; the defaults have Qwen3's shape."""

    architecture: Literal["gpt"] = field(default="gpt", metadata={"help": "which model of the registry"})
    heads: int = field(default=4, metadata={"help": "query heads"})
    key_value_heads: int = field(default=0, metadata={"help": "key-value heads (0: as many as query heads)"})
    head_width: int = field(default=0, metadata={"help": "channels of one head (0: width / heads)"})
    feedforward_width: int = field(
        default=0,
        metadata={"help": "hidden channels (0: 4 x width; 8/3 x width, rounded up to 32, for swiglu)"},
    )
    experts: int = field(
        default=0, metadata={"help": "feed-forward layers of which each token uses a few (0: one for all tokens)"}
    )
    experts_per_token: int = field(default=2, metadata={"help": "how many of them a token uses"})
    expert_width: int = field(default=0, metadata={"help": "hidden channels of one expert (0: as feedforward_width)"})
    positions: Literal["rotary", "learned"] = field(default="rotary", metadata={"help": "how positions are told"})
    normalization: Literal["rms", "layer"] = field(default="rms", metadata={"help": "RMSNorm or LayerNorm"})
    norm_order: Literal["pre", "post"] = field(
        default="pre", metadata={"help": "normalize before a layer, or after it is added (GPT-1, BERT)"}
    )
    feedforward: Literal["swiglu", "gelu", "relu2"] = field(
        default="swiglu", metadata={"help": "SwiGLU, GELU or squared ReLU"}
    )
    biases: bool = field(default=False, metadata={"help": "biases in linear layers and LayerNorm"})
    query_key_value_biases: bool = field(
        default=False, metadata={"help": "biases of queries, keys and values alone (Qwen2)"}
    )
    query_key_norm: bool = field(default=True, metadata={"help": "normalize queries and keys (Qwen3)"})
    window: int = field(default=0, metadata={"help": "tokens a banded layer looks back on, itself among them (0: all)"})
    window_every: int = field(
        default=1, metadata={"help": "every how manyth layer is banded (1: all, Mistral; 2: every second, GPT-3)"}
    )
    value_embeddings: int = field(
        default=0, metadata={"help": "last layers that add an embedding of the token to their values"}
    )
    logit_softcap: float = field(default=0.0, metadata={"help": "logits stay within +- this (0: no limit)"})
    zero_output_projections: bool = field(
        default=False, metadata={"help": "projections back to the residual stream start at zero"}
    )
    rotary_base: float = field(default=10_000.0, metadata={"help": "slowest rotary wavelength / 2 pi"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "heads", "window_every", "experts_per_token")
        self.check_at_least(
            0, "key_value_heads", "head_width", "feedforward_width", "window", "value_embeddings", "logit_softcap",
            "experts", "expert_width",
        )  # fmt: skip
        if self.value_embeddings > self.layers:
            raise UsageError(
                f"model.value_embeddings is {self.value_embeddings}; there are only {self.layers} model.layers"
            )
        if self.experts and self.experts_per_token > self.experts:
            raise UsageError(
                f"model.experts_per_token is {self.experts_per_token}; there are only {self.experts} model.experts"
            )
        if self.experts and (self.feedforward != "swiglu" or self.biases):
            raise UsageError("model.experts are SwiGLU layers without biases: leave out model.feedforward and biases")
        if not 0 < self.rotary_base < float("inf"):
            raise UsageError(f"model.rotary_base is {self.rotary_base}; it must be above 0")
        if not self.head_width:
            self.check_divides("heads", "width", "change one of them or set model.head_width")
        if self.heads % (self.key_value_heads or self.heads):
            raise UsageError(f"model.key_value_heads {self.key_value_heads} does not divide model.heads {self.heads}")
        if self.positions == "rotary" and self.width_of_head % 2:
            raise UsageError(f"rotary positions turn pairs of channels: a head of {self.width_of_head} is odd")

    @property
    def shares_rows(self) -> bool:  # pyrefly: ignore  # of other architectures it is the same for all of them
        """Rotary positions tell distances alone; learned ones tell a text that it does not begin the row."""
        return self.positions == "rotary"

    @property
    def width_of_head(self) -> int:
        """Channels of one head, with the default worked out."""
        return self.head_width or self.width // self.heads

    @property
    def count_of_key_value_heads(self) -> int:
        """Key-value heads, with the default worked out."""
        return self.key_value_heads or self.heads

    @property
    def hidden_width(self) -> int:
        """Hidden channels of the feed-forward layer, with the default worked out."""
        if self.feedforward_width:
            return self.feedforward_width
        return -(-8 * self.width // 3 // 32) * 32 if self.feedforward == "swiglu" else 4 * self.width

    @property
    def width_of_expert(self) -> int:
        """Hidden channels of one expert, with the default worked out."""
        return self.expert_width or self.hidden_width

    def mixing_flops_per_token(self) -> float:
        """Scores and weighted values of the positions that it sees, in the mean over a window."""
        seen = sum(mean_seen(self.context, self.window_of_layer(layer)) for layer in range(self.layers))
        return 2 * 2 * self.heads * self.width_of_head * seen

    def cached_numbers(self) -> int:
        """Keys and values of every position."""
        return 2 * self.layers * self.count_of_key_value_heads * self.width_of_head * self.context

    def why_not_divided(self, processes: int) -> str:
        """Whole heads, with their keys and values, and equal parts of the hidden channels."""
        if processes > 1 and self.experts:
            return "experts are not divided"
        if processes > 1 and self.count_of_key_value_heads != self.heads:
            return f"model.key_value_heads {self.key_value_heads} must be as many as model.heads {self.heads}"
        if self.heads % processes:
            return f"model.heads {self.heads} cannot be divided among {processes} processes"
        if self.hidden_width % processes:
            return f"{self.hidden_width} hidden channels cannot be divided among {processes} processes"
        return ""

    def part_of(self, processes: int) -> "GPTConfig":
        """A decoder with fewer heads and hidden channels; the residual stream stays as wide."""
        if processes == 1:
            return self
        return replace(
            self,
            heads=self.heads // processes,
            key_value_heads=self.key_value_heads // processes,
            head_width=self.width_of_head,
            feedforward_width=self.hidden_width // processes,
        )

    def window_of_layer(self, layer: int) -> int:
        """How many tokens this layer (from 0) looks back on, itself among them; 0: all.

        GPT-3 alternates dense and locally banded layers (Brown et al. 2020, section 2.1): the first is dense.
        """
        return self.window if (layer + 1) % self.window_every == 0 else 0


def mean_seen(context: int, window: int) -> float:
    """Positions that a causal layer looks at, in the mean over ``context`` positions: half of all, or the window."""
    if not 0 < window < context:
        return context / 2
    return window - window * window / (2 * context)
