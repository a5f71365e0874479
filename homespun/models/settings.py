"""The shape of a decoder, as a frozen dataclass: what a user can write under ``[model]``.

Beside the model but without torch, so that the command line can read it in milliseconds.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args, get_type_hints

from homespun.common.errors import UsageError


@dataclass(frozen=True)
class GPTConfig:
    """The parts and sizes of one decoder-only transformer; the defaults have Qwen3's shape."""

    architecture: Literal["gpt"] = field(default="gpt", metadata={"help": "which model of the registry"})
    vocabulary_size: int = field(default=4096, metadata={"help": "tokens the model knows; follows the tokenizer"})
    context: int = field(default=256, metadata={"help": "tokens it can look back on"})
    layers: int = field(default=4, metadata={"help": "decoder blocks"})
    width: int = field(default=256, metadata={"help": "channels of the residual stream"})
    heads: int = field(default=4, metadata={"help": "query heads"})
    key_value_heads: int = field(default=0, metadata={"help": "key-value heads (0: as many as query heads)"})
    head_width: int = field(default=0, metadata={"help": "channels of one head (0: width / heads)"})
    feedforward_width: int = field(
        default=0,
        metadata={"help": "hidden channels (0: 4 x width; 8/3 x width, rounded up to 32, for swiglu)"},
    )
    positions: Literal["rotary", "learned"] = field(default="rotary", metadata={"help": "how positions are told"})
    normalization: Literal["rms", "layer"] = field(default="rms", metadata={"help": "RMSNorm or LayerNorm"})
    feedforward: Literal["swiglu", "gelu", "relu2"] = field(
        default="swiglu", metadata={"help": "SwiGLU, GELU or squared ReLU"}
    )
    biases: bool = field(default=False, metadata={"help": "biases in linear layers and LayerNorm"})
    query_key_norm: bool = field(default=True, metadata={"help": "normalize queries and keys (Qwen3)"})
    tied_embeddings: bool = field(default=True, metadata={"help": "the output head is the token embedding"})
    value_embeddings: int = field(
        default=0, metadata={"help": "last layers that add an embedding of the token to their values"}
    )
    logit_softcap: float = field(default=0.0, metadata={"help": "logits stay within +- this (0: no limit)"})
    zero_output_projections: bool = field(
        default=False, metadata={"help": "projections back to the residual stream start at zero"}
    )
    rotary_base: float = field(default=10_000.0, metadata={"help": "slowest rotary wavelength / 2 pi"})
    norm_epsilon: float = field(default=1e-6, metadata={"help": "added inside normalizations"})
    dropout: float = field(default=0.0, metadata={"help": "share of activations dropped in training"})

    def __post_init__(self) -> None:
        for key, kind in get_type_hints(GPTConfig).items():
            known = get_args(kind)  # of a Literal; nothing for other types
            if known and getattr(self, key) not in known:
                raise UsageError(f"model.{key} is {getattr(self, key)!r}; choose one of {', '.join(known)}")
        for key in ("vocabulary_size", "context", "layers", "width", "heads"):
            if getattr(self, key) < 1:
                raise UsageError(f"model.{key} is {getattr(self, key)}; it must be at least 1")
        for key in (
            "key_value_heads",
            "head_width",
            "feedforward_width",
            "norm_epsilon",
            "value_embeddings",
            "logit_softcap",
        ):
            if not getattr(self, key) >= 0:
                raise UsageError(f"model.{key} is {getattr(self, key)}; it must be at least 0")
        if self.value_embeddings > self.layers:
            raise UsageError(
                f"model.value_embeddings is {self.value_embeddings}; there are only {self.layers} model.layers"
            )
        if not 0 < self.rotary_base < float("inf"):
            raise UsageError(f"model.rotary_base is {self.rotary_base}; it must be above 0")
        if not self.head_width and self.width % self.heads:
            raise UsageError(
                f"model.width {self.width} does not divide into model.heads {self.heads}; "
                "change one of them or set model.head_width"
            )
        if self.heads % (self.key_value_heads or self.heads):
            raise UsageError(f"model.key_value_heads {self.key_value_heads} does not divide model.heads {self.heads}")
        if self.positions == "rotary" and self.width_of_head % 2:
            raise UsageError(f"rotary positions turn pairs of channels: a head of {self.width_of_head} is odd")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"model.dropout is {self.dropout}; it must be at least 0 and below 1")

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
