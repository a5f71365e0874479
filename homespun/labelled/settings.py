"""The knobs of labelled texts: what a user can write under ``[labelled]``. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from homespun.common.errors import UsageError

CHOICES = {"balance": ("none", "weights", "undersample"), "malformed": ("stop", "skip")}


@dataclass(frozen=True)
class LabelledConfig:
    """Where texts and labels are, and how they are split. A value out of range raises ``UsageError``."""

    section: ClassVar[str] = "labelled"

    text_column: str = field(
        default="text", metadata={"help": "column of the texts; a number (from 1): the file has no line of names"}
    )
    label_column: str = field(default="label", metadata={"help": "column of the labels, likewise"})
    split_column: str = field(
        default="", metadata={"help": "column that says train, validation or test (none: split by chance)"}
    )
    validation_file: str = field(default="", metadata={"help": "a table that is the validation split (none: cut off)"})
    test_file: str = field(default="", metadata={"help": "a table that is the test split (none: cut off)"})
    malformed: Literal["stop", "skip"] = field(
        default="stop", metadata={"help": "at a line that is no row: stop and name it, or skip and count it"}
    )
    validation_fraction: float = field(
        default=0.1, metadata={"help": "share of each class kept for validation, above 0 and at most 0.5"}
    )
    test_fraction: float = field(default=0.2, metadata={"help": "share of each class kept for the test, likewise"})
    split_seed: int = field(default=1, metadata={"help": "which texts those are"})
    balance: Literal["none", "weights", "undersample"] = field(
        default="none",
        metadata={"help": "rare classes: as they are, weighted up in the loss, or as many of all others (undersample)"},
    )
    epochs: float = field(
        default=4.0, metadata={"help": "how often training reads its texts, if nobody sets its steps"}
    )

    def __post_init__(self) -> None:
        for key, known in CHOICES.items():
            if getattr(self, key) not in known:
                raise UsageError(f"labelled.{key} is {getattr(self, key)!r}; choose one of {', '.join(known)}")
        for key in ("validation_fraction", "test_fraction"):
            if not 0 < getattr(self, key) <= 0.5:
                raise UsageError(f"labelled.{key} is {getattr(self, key)}; it must be above 0 and at most 0.5")
        if not 0 <= self.split_seed < 1 << 64:
            raise UsageError(f"labelled.split_seed is {self.split_seed}; it must be at least 0 and below 2^64")
        if not 0 < self.epochs < float("inf"):
            raise UsageError(f"labelled.epochs is {self.epochs}; it must be above 0")
        if self.split_column and (self.validation_file or self.test_file):
            raise UsageError("give labelled.split_column or files of their own for validation and test, not both")
        if not self.text_column or not self.label_column:
            raise UsageError("labelled.text_column and labelled.label_column name the columns of the table")
        if self.text_column == self.label_column:
            raise UsageError(f"labelled.text_column and labelled.label_column are both {self.text_column!r}")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return tuple(filter(None, (self.text_column, self.label_column, self.split_column)))
