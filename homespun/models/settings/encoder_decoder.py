"""The shape of an encoder-decoder transformer: what a user can write under ``[model]`` for ``encoder_decoder``."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from homespun.common.errors import UsageError
from homespun.models.settings.base import TextModelConfig


@dataclass(frozen=True)
class EncoderDecoderConfig(TextModelConfig):
    """An encoder that reads a source text whole, and a decoder that writes the target text; the defaults are small."""

    task: ClassVar[str] = "translation"
    one_shape: ClassVar[bool] = False
    summarized_at: ClassVar[str] = ""
    special_tokens: ClassVar[tuple[str, ...]] = ("<|separator|>",)  # homespun.tokenizer.special.SEPARATOR

    architecture: Literal["encoder_decoder"] = field(
        default="encoder_decoder", metadata={"help": "which model of the registry"}
    )
    context: int = field(default=128, metadata={"help": "tokens of the longest source or target"})
    layers: int = field(default=3, metadata={"help": "blocks of the decoder"})
    encoder_layers: int = field(default=0, metadata={"help": "blocks of the encoder (0: as many as model.layers)"})
    heads: int = field(default=4, metadata={"help": "attention heads"})
    feedforward_width: int = field(default=0, metadata={"help": "hidden channels (0: 4 x width)"})
    feedforward: Literal["relu", "swish", "gelu", "relu2"] = field(
        default="relu", metadata={"help": "ReLU, Swish (Marian), GELU or squared ReLU"}
    )
    norm_order: Literal["post", "pre"] = field(
        default="post", metadata={"help": "normalize after a layer is added, as published, or before it"}
    )
    biases: bool = field(default=True, metadata={"help": "biases in linear layers and LayerNorm"})
    logit_biases: bool = field(default=False, metadata={"help": "a learned bias for each token's logit (Marian)"})
    norm_epsilon: float = field(default=1e-5, metadata={"help": "added inside normalizations"})
    dropout: float = field(default=0.1, metadata={"help": "share of activations dropped in training"})
    label_smoothing: float = field(
        default=0.1, metadata={"help": "share of each target that is spread over all tokens in training"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "heads")
        self.check_at_least(0, "encoder_layers", "feedforward_width")
        self.check_divides("heads", "width")
        if not 0 <= self.label_smoothing < 1:
            raise UsageError(f"model.label_smoothing is {self.label_smoothing}; it must be at least 0 and below 1")

    @property
    def count_of_encoder_layers(self) -> int:
        """Blocks of the encoder, with the default worked out."""
        return self.encoder_layers or self.layers

    @property
    def hidden_width(self) -> int:
        """Hidden channels of the feed-forward layers, with the default worked out."""
        return self.feedforward_width or 4 * self.width

    def mixing_flops_per_token(self) -> float:
        """Scores and weighted values: the encoder looks at all of the source, the decoder at it and half its own."""
        seen = self.count_of_encoder_layers * self.context + self.layers * (self.context + self.context / 2)
        return 2 * 2 * self.width * seen

    def cached_numbers(self) -> int:
        """Keys and values of what is written, and of a source as long, in each layer of the decoder."""
        return 2 * 2 * self.layers * self.width * self.context
