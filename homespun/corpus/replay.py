"""Continued pretraining, and what of the base's own kind of text is read again so that it is not forgotten:
``[replay]``.

Imports nothing heavy.
"""

from dataclasses import dataclass, field

from homespun.common.errors import UsageError


@dataclass(frozen=True)
class ReplayConfig:
    """What is read besides the texts of a field. A value out of range raises ``UsageError``."""

    sources: tuple[str, ...] = field(
        default=(),
        metadata={"help": "files and folders of general text, read again beside the field's (none: nothing)"},
    )
    share: float = field(
        default=0.2,
        metadata={"help": "share of the windows of a step that are general text (0: what is forgotten is measured)"},
    )
    epochs: float = field(
        default=2.0, metadata={"help": "how often training reads the field's texts, if nobody sets its steps"}
    )

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UsageError(f"replay.share is {self.share}; it must be at least 0 and below 1")
        if not 0 < self.epochs < float("inf"):
            raise UsageError(f"replay.epochs is {self.epochs}; it must be above 0")

    def rows(self, batch_size: int) -> int:
        """How many windows of a step are general text; at least one where a share is read.

        ``UsageError`` where a step has no room for windows of both kinds.
        """
        if not self.sources or not self.share:
            return 0
        if batch_size < 2:
            raise UsageError(
                f"training.batch_size is {batch_size}: a step has no room for the field's text and for general text; "
                "it must be at least 2"
            )
        return min(batch_size - 1, max(1, round(self.share * batch_size)))
