"""What the settings of every architecture have in common, and the checks of a single value."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from homespun.common.errors import UsageError


@dataclass(frozen=True)
class ModelConfig(ABC):
    """The sizes that every model has. Subclasses say which architecture they are of, and add their own.

    ``task``: what the model learns from (``homespun.training.tasks``). ``reads``: what it is shown, "text" or "images".
    ``target``: what a loss is told for each of, in words. ``spells_text``: whether the targets are a whole text, each
    told from those before it; only then do bits per byte of it mean something.
    ``shorter_rows``: what to change where a row takes too much memory, in words. ``kernels``: those of attention or
    recurrence that may be the fastest on some processor, first the one to keep where they are alike. ``stepwise``:
    those of them that go position by position, so that a compiler would unroll them. ``one_shape``: all batches of a
    training have the same shape, so that a compiled step fits them all. ``rate_factor``: its best learning rate, as a
    multiple of that of a decoder of the same width, for plans.
    """

    task: ClassVar[str]
    reads: ClassVar[str]
    target: ClassVar[str]
    spells_text: ClassVar[bool] = False
    shorter_rows: ClassVar[str]
    kernels: ClassVar[tuple[str, ...]] = ("fused", "explicit")
    stepwise: ClassVar[tuple[str, ...]] = ()
    one_shape: ClassVar[bool] = True
    rate_factor: ClassVar[float] = 1.0

    architecture: str = field(default="", metadata={"help": "which model of the registry"})
    layers: int = field(default=4, metadata={"help": "equal blocks on top of each other"})
    width: int = field(default=256, metadata={"help": "channels of the residual stream"})
    norm_epsilon: float = field(default=1e-6, metadata={"help": "added inside normalizations"})
    dropout: float = field(default=0.0, metadata={"help": "share of activations dropped in training"})

    def __post_init__(self) -> None:
        for name, known in literals(type(self)).items():
            value = getattr(self, name)
            if value not in known:
                raise UsageError(f"model.{name} is {value!r}; choose one of {', '.join(map(str, known))}")
        self.check_at_least(1, "layers", "width")
        self.check_at_least(0, "norm_epsilon")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"model.dropout is {self.dropout}; it must be at least 0 and below 1")

    @property
    def in_use(self) -> "ModelConfig":
        """The settings of the model that is left when training is over: its own, or those of the base it changed."""
        return self

    @property
    @abstractmethod
    def positions_in_row(self) -> int:
        """Positions of one row of a batch: what memory is taken for."""

    @property
    def row_lengths(self) -> int:
        """How many lengths the rows of its batches can have, where that is limited; 1: all are alike."""
        return 1

    @property
    def adapted(self) -> bool:
        """Whether low-rank differences stand beside its matrices (``homespun.layers.lora``)."""
        return False

    @property
    @abstractmethod
    def targets_in_row(self) -> int:
        """Targets of one row of a batch: what losses are means over, and speeds and operations are counted for."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Logits for one target."""

    @property
    def read_out_share(self) -> float:
        """Share of the positions for which logits are made in training."""
        return 1.0

    @property
    def validation_passes(self) -> int:
        """How often the exact loss of a split reads it."""
        return 1

    @abstractmethod
    def forward_flops(self, matrices: int) -> float:
        """Operations of a forward pass for one target; ``matrices``: weights of the block matrices."""

    def cached_numbers(self) -> int:
        """How many numbers generation keeps of one text as long as the context, so as not to work them out again."""
        return 0

    def why_not_divided(self, processes: int) -> str:
        """Why so many processes cannot take a part of every block each, in a few words; empty if they can."""
        return f"the layers of {self.architecture} are not made for it" if processes > 1 else ""

    def part_of(self, processes: int) -> "ModelConfig":
        """What one of so many processes has of the model, where they take a part of every block each."""
        assert processes == 1
        return self

    def check_at_least(self, least: int, *names: str) -> None:
        """``UsageError`` for the first of these settings that is smaller, or no number."""
        for name in names:
            if not getattr(self, name) >= least:
                raise UsageError(f"model.{name} is {getattr(self, name)}; it must be at least {least}")

    def check_divides(self, part: str, whole: str, hint: str = "change one of them") -> None:
        """``UsageError`` unless the setting ``part`` divides the setting ``whole``."""
        if getattr(self, whole) % getattr(self, part):
            raise UsageError(
                f"model.{whole} {getattr(self, whole)} does not divide into model.{part} {getattr(self, part)}; {hint}"
            )


@dataclass(frozen=True)
class TextModelConfig(ModelConfig):
    """The sizes that every model of text has besides.

    ``endless``: it carries a state of fixed size through the text, so ``context`` is only the length of a training
    window, not a limit of what it can be given. ``summarized_at``: the place, "first" or "last", whose activations have
    seen the whole text; empty where there is none. ``special_tokens``: names of tokens that it needs besides those that
    every tokenizer has. ``shares_rows``: several texts behind each other in a row, told apart by their numbers, are
    read as each alone would be.
    """

    task: ClassVar[str] = "next_token"
    reads: ClassVar[str] = "text"
    target: ClassVar[str] = "token"
    spells_text: ClassVar[bool] = True
    shorter_rows: ClassVar[str] = "a shorter model.context"
    endless: ClassVar[bool] = False
    summarized_at: ClassVar[str] = "last"
    special_tokens: ClassVar[tuple[str, ...]] = ()
    shares_rows: ClassVar[bool] = False

    vocabulary_size: int = field(default=4096, metadata={"help": "tokens the model knows; follows the tokenizer"})
    context: int = field(default=256, metadata={"help": "tokens of one window: what it can look back on"})
    tied_embeddings: bool = field(default=True, metadata={"help": "the output head is the token embedding"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "vocabulary_size", "context")

    @property
    def positions_in_row(self) -> int:
        return self.context

    @property
    def targets_in_row(self) -> int:
        return self.context

    @property
    def outputs(self) -> int:
        return self.vocabulary_size

    def forward_flops(self, matrices: int) -> float:
        """A token is multiplied by every block matrix and by the head."""
        return 2 * matrices + self.read_out_flops_per_token() + self.mixing_flops_per_token()

    def mixing_flops_per_token(self) -> float:
        """Operations of one token's forward pass besides its products with weights: attention, or its like."""
        return 0.0

    def read_out_flops_per_token(self) -> float:
        """Operations of what makes logits, spread over all tokens of a window."""
        return self.read_out_share * 2 * self.vocabulary_size * self.width


@cache
def literals(kind: type[ModelConfig]) -> dict[str, tuple[Any, ...]]:
    """The settings that are a choice among a few words, with these words."""
    hints = get_type_hints(kind)
    return {item.name: get_args(hints[item.name]) for item in fields(kind) if get_origin(hints[item.name]) is Literal}
