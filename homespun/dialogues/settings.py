"""The knobs of conversations and preferences: what a user can write under ``[conversations]`` and ``[preferences]``.

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
class ConversationsConfig(DialogueConfig):
    """Of conversations to learn answers from."""

    section: ClassVar[str] = "conversations"

    loss: Literal["answers", "all"] = field(
        default="answers", metadata={"help": "which tokens are learned: those of the answers, or all"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in ("answers", "all"):
            raise UsageError(f"conversations.loss is {self.loss!r}; choose one of answers, all")


@dataclass(frozen=True)
class PreferencesConfig(DialogueConfig):
    """Of answers of which one is preferred."""

    section: ClassVar[str] = "preferences"

    epochs: float = field(
        default=1.0, metadata={"help": "how often training reads all of it, if nobody sets its steps"}
    )
