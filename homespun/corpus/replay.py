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
    share: float = field(default=0.2, metadata={"help": "share of the windows of a step that are general text"})
    epochs: float = field(
        default=2.0, metadata={"help": "how often training reads the field's texts, if nobody sets its steps"}
    )

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UsageError(f"replay.share is {self.share}; it must be above 0 and below 1")
        if not 0 < self.epochs < float("inf"):
            raise UsageError(f"replay.epochs is {self.epochs}; it must be above 0")

    def rows(self, batch_size: int, processes: int = 1) -> int:
        """How many windows of a step are general text, as many in each process; at least one where there is any.

        ``UsageError`` where a step has no room for windows of both kinds.
        """
        if not self.sources:
            return 0
        if batch_size < 2 * processes:
            among = f" among {processes} processes" if processes > 1 else ""
            raise UsageError(
                f"training.batch_size is {batch_size}: a step{among} has no room for the field's text and for general "
                f"text; it must be at least {2 * processes}"
            )
        return min(batch_size - processes, max(processes, round(self.share * batch_size / processes) * processes))
