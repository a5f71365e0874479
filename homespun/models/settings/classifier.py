"""The shape of a classifier of texts: a base model, and a head that reads a class off it."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from homespun.batches.lengths import row_length
from homespun.common.errors import UsageError
from homespun.models.settings.base import TextModelConfig
from homespun.models.settings.finetuned import PartlyTrainedConfig


@dataclass(frozen=True)
class ClassifierConfig(PartlyTrainedConfig):
    """``body``: the settings of the base, kept whole, so that a checkpoint tells how to build both."""

    task: ClassVar[str] = "text_classes"
    reads: ClassVar[str] = "labelled texts"
    target: ClassVar[str] = "text"
    in_windows: ClassVar[bool] = True

    architecture: Literal["classifier"] = field(default="classifier", metadata={"help": "which model of the registry"})
    dropout: float = field(default=0.1, metadata={"help": "share of what the head reads that is dropped in training"})
    labels: tuple[str, ...] = field(default=(), metadata={"help": "the classes' names; follow the table"})
    head_bias: bool = field(default=True, metadata={"help": "the head has a bias; not behind a decoder's last token"})
    class_weights: tuple[float, ...] = field(
        default=(), metadata={"help": "weight of each class in the training loss (none: 1); by labelled.balance"}
    )
    summary: Literal["token", "mean"] = field(
        default="token",
        metadata={"help": "what the head reads: the token that has seen the whole text, or the mean of all tokens"},
    )
    trained: Literal["full", "last-layers", "lora", "head"] = field(
        default="full", metadata={"help": "what of the base moves: all, its last layers, low-rank differences, nothing"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_weights and len(self.class_weights) != len(self.labels):
            raise UsageError(f"model.class_weights has {len(self.class_weights)} numbers for {len(self.labels)} labels")

    def check_body(self) -> None:
        if not isinstance(self.body, TextModelConfig) or not self.body.summarized_at:
            raise UsageError(
                f"{self.body.architecture} cannot be finetuned to classify: no place of it sees a whole text"
            )

    @property
    def targets_in_row(self) -> int:
        return 1

    @property
    def window(self) -> int:
        """Tokens that the body reads at once, of texts that may be longer."""
        length = self.length or self.body.context
        return length if self.body.endless else min(length, self.body.context)

    @property
    def windows(self) -> int:
        """So many hold the longest text that is read."""
        return -(-(self.length or self.window) // self.window)

    @property
    def positions_in_row(self) -> int:
        """Of that text."""
        return self.windows * self.window

    @property
    def row_lengths(self) -> int:
        return len({row_length(length, self.window) for length in range(1, self.positions_in_row + 1)})

    @property
    def outputs(self) -> int:
        return len(self.labels)

    @property
    def read_out_share(self) -> float:
        return 1 / self.positions_in_row

    def forward_flops(self, matrices: int) -> float:
        """All tokens of the longest text go through the body, one summary of them through the head."""
        mixing = replace(self.body, context=self.window).mixing_flops_per_token()
        return self.positions_in_row * (2 * matrices + mixing) + 2 * self.outputs * self.width
