"""The shape of a classifier of texts: a base model, and a head that reads a class off it."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from homespun.common.errors import UsageError
from homespun.models.settings.base import ModelConfig, TextModelConfig
from homespun.models.settings.decoder import GPTConfig


@dataclass(frozen=True)
class ClassifierConfig(ModelConfig):
    """``body``: the settings of the base, kept whole, so that a checkpoint tells how to build both."""

    task: ClassVar[str] = "text_classes"
    reads: ClassVar[str] = "labelled texts"
    target: ClassVar[str] = "text"
    shorter_rows: ClassVar[str] = "a shorter model.length"
    one_shape: ClassVar[bool] = False

    architecture: Literal["classifier"] = field(default="classifier", metadata={"help": "which model of the registry"})
    dropout: float = field(default=0.1, metadata={"help": "share of what the head reads that is dropped in training"})
    body: TextModelConfig = field(default_factory=GPTConfig)
    labels: tuple[str, ...] = field(default=(), metadata={"help": "the classes' names; follow the table"})
    class_weights: tuple[float, ...] = field(
        default=(), metadata={"help": "weight of each class in the training loss (none: 1); by labelled.balance"}
    )
    length: int = field(default=0, metadata={"help": "tokens of a text that are read, from its beginning (0: context)"})
    trained: Literal["full", "last-layers", "lora", "head"] = field(
        default="full", metadata={"help": "what of the base moves: all, its last layers, low-rank differences, nothing"}
    )
    trained_layers: int = field(default=1, metadata={"help": "how many layers are the last-layers"})
    lora_rank: int = field(default=8, metadata={"help": "rank of the differences of lora"})
    lora_alpha: float = field(default=16.0, metadata={"help": "differences are multiplied by alpha / rank"})
    lora_dropout: float = field(default=0.0, metadata={"help": "share of their inputs that is dropped in training"})
    lora_layers: Literal["all", "attention"] = field(
        default="all", metadata={"help": "which matrices have differences"}
    )

    def __post_init__(self) -> None:
        # Who asks a model for its sizes hears those of the body.
        object.__setattr__(self, "layers", self.body.layers)
        object.__setattr__(self, "width", self.body.width)
        super().__post_init__()
        self.check_at_least(0, "length", "lora_alpha")
        self.check_at_least(1, "trained_layers", "lora_rank")
        if not 0 <= self.lora_dropout < 1:
            raise UsageError(f"model.lora_dropout is {self.lora_dropout}; it must be at least 0 and below 1")
        if not isinstance(self.body, TextModelConfig) or not self.body.summarized_at:
            raise UsageError(
                f"{self.body.architecture} cannot be finetuned to classify: no place of it sees a whole text"
            )
        if self.length > self.body.context and not self.body.endless:
            raise UsageError(f"model.length is {self.length}; the base reads {self.body.context} tokens at most")
        if self.class_weights and len(self.class_weights) != len(self.labels):
            raise UsageError(f"model.class_weights has {len(self.class_weights)} numbers for {len(self.labels)} labels")

    @property
    def kernels(self) -> tuple[str, ...]:  # pyrefly: ignore  # of other architectures it is the same for all of them
        """Those of the body."""
        return self.body.kernels

    @property
    def stepwise(self) -> tuple[str, ...]:  # pyrefly: ignore
        """Those of the body."""
        return self.body.stepwise

    @property
    def positions_in_row(self) -> int:
        """Of the longest text that is read."""
        return self.length or self.body.context

    @property
    def targets_in_row(self) -> int:
        return 1

    @property
    def outputs(self) -> int:
        return len(self.labels)

    @property
    def read_out_share(self) -> float:
        return 1 / self.positions_in_row

    def forward_flops(self, matrices: int) -> float:
        """All tokens of the longest text go through the body, one is read."""
        mixing = replace(self.body, context=self.positions_in_row).mixing_flops_per_token()
        return self.positions_in_row * (2 * matrices + mixing) + 2 * self.outputs * self.width
