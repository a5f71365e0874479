"""The knobs of conversations, pairs and preferences: what a user can write under ``[conversations]``, ``[pairs]`` and
``[preferences]``.

Imports nothing heavy.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from homespun.common.errors import UsageError


@dataclass(frozen=True)
class DialogueConfig:
    """What both have in common. A value out of range raises ``UsageError``."""

    section: ClassVar[str]

    validation_file: str = field(
        default="", metadata={"help": "a file that is the validation split (none: cut off, by question)"}
    )
    validation_fraction: float = field(
        default=0.1, metadata={"help": "share of the questions kept for validation, above 0 and at most 0.5"}
    )
    split_seed: int = field(default=1, metadata={"help": "which questions those are"})
    malformed: Literal["stop", "skip"] = field(
        default="stop", metadata={"help": "at an entry that cannot be used: stop and name it, or skip and count it"}
    )
    epochs: float = field(
        default=3.0, metadata={"help": "how often training reads all of it, if nobody sets its steps"}
    )

    def __post_init__(self) -> None:
        if self.malformed not in ("stop", "skip"):
            raise UsageError(f"{self.section}.malformed is {self.malformed!r}; choose one of stop, skip")
        if not 0 < self.validation_fraction <= 0.5:
            raise UsageError(
                f"{self.section}.validation_fraction is {self.validation_fraction}; it must be above 0 and at most 0.5"
            )
        if not 0 <= self.split_seed < 1 << 64:
            raise UsageError(f"{self.section}.split_seed is {self.split_seed}; it must be at least 0 and below 2^64")
        if not 0 < self.epochs < float("inf"):
            raise UsageError(f"{self.section}.epochs is {self.epochs}; it must be above 0")


@dataclass(frozen=True)
class ColumnsConfig(DialogueConfig):
    """Of texts, and what is made of them, that stand in the columns of a table."""

    source_column: str = field(default="", metadata={"help": "column of the texts; a number: no line of names"})
    target_columns: tuple[str, ...] = field(
        default=(), metadata={"help": "column of what is made of them; of several each is an example of its own"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.source_column) != bool(self.target_columns) or not all(self.target_columns):
            raise UsageError(f"{self.section}.source_column and {self.section}.target_columns belong together")
        if self.source_column in self.target_columns or len(set(self.target_columns)) < len(self.target_columns):
            raise UsageError(f"a column is named twice: {', '.join(self.columns)}")

    @property
    def columns(self) -> tuple[str, ...]:
        """All that are read."""
        return tuple(filter(None, (self.source_column, *self.target_columns)))


@dataclass(frozen=True)
class PairsConfig(ColumnsConfig):
    """Of pairs of texts, for a model that makes the second of the first."""

    section: ClassVar[str] = "pairs"

    source_column: str = field(default="source", metadata={"help": "column of the texts; a number: no line of names"})
    target_columns: tuple[str, ...] = field(
        default=("target",),
        metadata={"help": "column of what is made of them; of several each is an example of its own"},
    )


@dataclass(frozen=True)
class ConversationsConfig(ColumnsConfig):
    """Of conversations to learn answers from; or of pairs of texts (``source_column``), which become conversations."""

    section: ClassVar[str] = "conversations"

    instruction: str = field(default="", metadata={"help": "of pairs: what the user says above each source"})
    loss: Literal["answers", "all"] = field(
        default="answers", metadata={"help": "which tokens are learned: those of the answers, or all"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in ("answers", "all"):
            raise UsageError(f"conversations.loss is {self.loss!r}; choose one of answers, all")
        if self.instruction and not self.source_column:
            raise UsageError("conversations.instruction is for pairs of texts: name conversations.source_column too")


@dataclass(frozen=True)
class PreferencesConfig(DialogueConfig):
    """Of answers of which one is preferred."""

    section: ClassVar[str] = "preferences"

    epochs: float = field(
        default=1.0, metadata={"help": "how often training reads all of it, if nobody sets its steps"}
    )
