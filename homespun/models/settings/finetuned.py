"""What the settings of all finetunings have in common: the base, whole, and how much of it moves."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from homespun.common.errors import UsageError
from homespun.models.settings.base import ModelConfig, TextModelConfig
from homespun.models.settings.decoder import GPTConfig
from homespun.models.settings.encoder_decoder import EncoderDecoderConfig


@dataclass(frozen=True)
class PartlyTrainedConfig(ModelConfig):
    """``body``: the settings of the base, kept whole, so that a checkpoint tells how to build both."""

    one_shape: ClassVar[bool] = False
    shorter_rows: ClassVar[str] = "a shorter model.length"
    in_windows: ClassVar[bool] = False  # a text may be longer than the base reads at once

    body: TextModelConfig = field(default_factory=GPTConfig)
    length: int = field(default=0, metadata={"help": "tokens of a text that are read, from its beginning (0: context)"})
    trained: str = field(default="full", metadata={"help": "what of the base moves"})
    trained_layers: int = field(default=1, metadata={"help": "how many layers are the last-layers"})
    lora_rank: int = field(default=8, metadata={"help": "rank of the differences of lora"})
    lora_alpha: float = field(default=16.0, metadata={"help": "differences are multiplied by alpha / rank"})
    lora_dropout: float = field(default=0.0, metadata={"help": "share of their inputs that is dropped in training"})
    lora_layers: Literal["all", "attention"] = field(
        default="all", metadata={"help": "which matrices have differences"}
    )
    base_bits: Literal[32, 8, 4] = field(
        default=32, metadata={"help": "bits of each number in the base's matrices, beside the differences of lora"}
    )

    @abstractmethod
    def check_body(self) -> None:
        """``UsageError`` for a base that is not fit for it."""

    def __post_init__(self) -> None:
        self.check_body()
        # Who asks a model for its sizes hears those of the body.
        object.__setattr__(self, "layers", self.body.layers)
        object.__setattr__(self, "width", self.body.width)
        super().__post_init__()
        self.check_at_least(0, "length", "lora_alpha")
        self.check_at_least(1, "trained_layers", "lora_rank")
        if not 0 <= self.lora_dropout < 1:
            raise UsageError(f"model.lora_dropout is {self.lora_dropout}; it must be at least 0 and below 1")
        if self.base_bits != 32 and self.trained != "lora":
            raise UsageError(
                f"model.base_bits is {self.base_bits}, and numbers in few bits cannot learn, only differences beside "
                "them: add --train lora, or leave it out"
            )
        if self.length > self.body.context and not (self.body.endless or self.in_windows):
            raise UsageError(f"model.length is {self.length}; the base reads {self.body.context} tokens at most")

    @property
    def kernels(self) -> tuple[str, ...]:  # pyrefly: ignore  # of other architectures it is the same for all of them
        """Those of the body."""
        return self.body.kernels

    @property
    def stepwise(self) -> tuple[str, ...]:  # pyrefly: ignore
        """Those of the body."""
        return self.body.stepwise

    @property
    def adapted(self) -> bool:  # pyrefly: ignore
        return self.trained == "lora"

    @property
    def positions_in_row(self) -> int:
        """Of the longest text that is read."""
        return self.length or self.body.context


@dataclass(frozen=True)
class FinetunedConfig(PartlyTrainedConfig):
    """Of finetunings that leave a language model behind."""

    trained: Literal["full", "last-layers", "lora"] = field(
        default="full", metadata={"help": "what of the base moves: all, its last layers, low-rank differences"}
    )
    learned_tokens: tuple[int, ...] = field(
        default=(), metadata={"help": "tokens whose rows learn where the others are held still; follow the tokenizer"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout:
            raise UsageError("model.dropout of a finetuning is that of its base: leave it out")

    def check_body(self) -> None:
        if self.body.task != "next_token":
            raise UsageError(f"{self.body.architecture} cannot be finetuned like that: it does not go on with a text")

    @property
    def in_use(self) -> TextModelConfig:
        return self.body

    @property
    def targets_in_row(self) -> int:
        return self.positions_in_row

    @property
    def outputs(self) -> int:
        return self.body.vocabulary_size

    def forward_flops(self, matrices: int) -> float:
        """Of a token that is read, at the length of these rows."""
        return replace(self.body, context=self.length or self.body.context).forward_flops(matrices)


@dataclass(frozen=True)
class AssistantConfig(FinetunedConfig):
    """A language model that learns to answer."""

    task: ClassVar[str] = "answers"
    reads: ClassVar[str] = "conversations"
    target: ClassVar[str] = "answer token"

    architecture: Literal["assistant"] = field(default="assistant", metadata={"help": "which model of the registry"})
    packed: bool = field(
        default=False, metadata={"help": "several conversations share a row, none sees another; follows the base"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packed and not self.body.shares_rows:
            raise UsageError(
                f"model.packed is on, but {self.body.architecture} cannot keep the texts of a row apart: leave it out"
            )


@dataclass(frozen=True)
class PairedConfig(FinetunedConfig):
    """An encoder-decoder that goes on learning from pairs of texts."""

    task: ClassVar[str] = "pairs"
    reads: ClassVar[str] = "pairs"
    target: ClassVar[str] = "token"
    spells_text: ClassVar[bool] = True

    body: TextModelConfig = field(default_factory=EncoderDecoderConfig)
    architecture: Literal["paired"] = field(default="paired", metadata={"help": "which model of the registry"})

    def check_body(self) -> None:
        if self.body.task != "translation":
            raise UsageError(f"{self.body.architecture} cannot be finetuned like that: it has no encoder and decoder")


@dataclass(frozen=True)
class PreferredConfig(FinetunedConfig):
    """A language model that learns which of two answers is preferred."""

    task: ClassVar[str] = "preferences"
    reads: ClassVar[str] = "preferences"
    target: ClassVar[str] = "pair of answers"

    architecture: Literal["preferred"] = field(default="preferred", metadata={"help": "which model of the registry"})
    beta: float = field(default=0.1, metadata={"help": "how dearly it costs to leave the base: DPO's beta"})
    preference_smoothing: float = field(
        default=0.0, metadata={"help": "share of the pairs that are taken to be told the wrong way round, below 0.5"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta < float("inf"):
            raise UsageError(f"model.beta is {self.beta}; it must be above 0")
        if not 0 <= self.preference_smoothing < 0.5:
            raise UsageError(
                f"model.preference_smoothing is {self.preference_smoothing}; it must be at least 0 and below 0.5"
            )

    @property
    def positions_in_row(self) -> int:
        """Of both answers."""
        return 2 * super().positions_in_row


@dataclass(frozen=True)
class ContinuedConfig(FinetunedConfig):
    """A language model that goes on learning from running text, of one field."""

    task: ClassVar[str] = "continued"
    reads: ClassVar[str] = "texts of a field"
    spells_text: ClassVar[bool] = True
    one_shape: ClassVar[bool] = True

    target: ClassVar[str] = "token"

    architecture: Literal["continued"] = field(default="continued", metadata={"help": "which model of the registry"})
