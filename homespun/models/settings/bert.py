"""The shape of BERT: what a user can write under ``[model]`` for ``architecture = "bert"``."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from homespun.common.errors import UsageError
from homespun.models.settings.base import TextModelConfig


@dataclass(frozen=True)
class BERTConfig(TextModelConfig):
    """An encoder that sees the whole text at once and learns to tell which tokens were hidden in it."""

    target: ClassVar[str] = "masked token"
    spells_text: ClassVar[bool] = False
    summarized_at: ClassVar[str] = "first"
    special_tokens: ClassVar[tuple[str, ...]] = ("<|mask|>", "<|class|>", "<|separator|>")

    architecture: Literal["bert"] = field(default="bert", metadata={"help": "which model of the registry"})
    heads: int = field(default=4, metadata={"help": "attention heads"})
    feedforward_width: int = field(default=0, metadata={"help": "hidden channels (0: 4 x width)"})
    norm_epsilon: float = field(default=1e-12, metadata={"help": "added inside normalizations"})
    masked_share: float = field(default=0.15, metadata={"help": "share of the tokens that are hidden and to be told"})
    next_sentence: bool = field(
        default=False, metadata={"help": "learn from pairs of texts, too, whether the second follows the first"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "heads")
        self.check_at_least(0, "feedforward_width")
        self.check_at_least(8, "context")
        self.check_divides("heads", "width")
        if not 0 < self.masked_share < 1:
            raise UsageError(f"model.masked_share is {self.masked_share}; it must lie between 0 and 1")

    @property
    def task(self) -> str:  # pyrefly: ignore  # of other architectures it is the same for all of them
        """What it learns from."""
        return "masked_pairs" if self.next_sentence else "masked"

    @property
    def hidden_width(self) -> int:
        """Hidden channels of the feed-forward layer, with the default worked out."""
        return self.feedforward_width or 4 * self.width

    @property
    def read_out_share(self) -> float:
        """Only hidden tokens are told."""
        return self.masked_share

    @property
    def validation_passes(self) -> int:
        """Every token is hidden in one of them (``homespun.batches.masked``)."""
        return max(2, round(1 / self.masked_share))

    def mixing_flops_per_token(self) -> float:
        """Scores and weighted values of all positions."""
        return 2 * 2 * self.width * self.context * self.layers

    def read_out_flops_per_token(self) -> float:
        """The head has a layer of its own; whether a text follows another is told once in a window."""
        pooler = 2 * self.width * self.width / self.context if self.next_sentence else 0.0
        return super().read_out_flops_per_token() + self.read_out_share * 2 * self.width * self.width + pooler
