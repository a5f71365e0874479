"""The knobs of the corpus, each with its meaning and its help text; imports nothing heavy.

In: values from the command line or a configuration file. Out: a checked ``CorpusConfig``.
"""

from dataclasses import dataclass, field

from homespun.common.errors import UsageError

SMALLEST_PASSAGE = 64


@dataclass(frozen=True)
class CorpusConfig:
    """How sources become a corpus. A value out of range raises ``UsageError``, one line that names the key."""

    validation_fraction: float = field(
        default=0.1,
        metadata={"help": "Share of the text that is kept for validation, above 0 and at most 0.5."},
    )
    maximum_bytes: int = field(
        default=0,
        metadata={"help": "Stop after this many UTF-8 bytes of kept text, an even sample of the files; 0 takes all."},
    )
    passage_characters: int = field(
        default=8192,
        metadata={"help": "Longer documents are cut into passages of about this many characters before the split."},
    )
    minimum_characters: int = field(
        default=1,
        metadata={"help": "Documents with fewer characters than this are left out."},
    )
    source_column: str = field(
        default="",
        metadata={"help": "Pairs of texts: the column of tables that holds the source, such as a sentence."},
    )
    target_column: str = field(
        default="",
        metadata={"help": "Pairs of texts: the column that holds the target, such as its translation."},
    )

    def __post_init__(self) -> None:
        if not 0 < self.validation_fraction <= 0.5:
            raise UsageError(
                f"corpus.validation_fraction is {self.validation_fraction}; give a number above 0 and at most 0.5"
            )
        if self.maximum_bytes < 0:
            raise UsageError(f"corpus.maximum_bytes is {self.maximum_bytes}; give 0 (all) or a number of bytes")
        if self.passage_characters < SMALLEST_PASSAGE:
            raise UsageError(
                f"corpus.passage_characters is {self.passage_characters}; give at least {SMALLEST_PASSAGE}"
            )
        if self.minimum_characters < 1:
            raise UsageError(f"corpus.minimum_characters is {self.minimum_characters}; give at least 1")
        if bool(self.source_column) != bool(self.target_column):
            raise UsageError("of corpus.source_column and corpus.target_column only one is given; pairs need both")
        if self.source_column and self.source_column.strip().lower() == self.target_column.strip().lower():
            raise UsageError(f"corpus.source_column and corpus.target_column are both {self.source_column!r}")
