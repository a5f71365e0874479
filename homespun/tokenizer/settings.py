"""The choices one makes about a tokenizer, checked when they are made.

In: the values of the section ``tokenizer`` of a recipe. Out: ``TokenizerConfig``. Imports nothing heavy.
"""

from dataclasses import dataclass, field

from homespun.common.errors import UsageError
from homespun.tokenizer.patterns import DEFAULT_PATTERN, PATTERNS
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS

BYTES = 256
SMALLEST_VOCABULARY = BYTES + len(DEFAULT_SPECIAL_TOKENS)
# Four times the largest vocabulary in use; beyond it a typing error is likelier than a wish.
LARGEST_VOCABULARY = 1_000_000
# The trainer holds the sample in memory and counts its places in 32 bits.
LARGEST_SAMPLE = 2_000_000_000


@dataclass(frozen=True)
class TokenizerConfig:
    """How to learn a tokenizer. A bad value is a ``UsageError`` that names the key."""

    vocabulary_size: int = field(
        default=4096,
        metadata={"help": "How many different tokens: 256 bytes, the merges and 4 special tokens together."},
    )
    pattern: str = field(
        default=DEFAULT_PATTERN,
        metadata={"help": f"How text is cut into pieces before merging: {', '.join(PATTERNS)}."},
    )
    training_bytes: int = field(
        default=32_000_000,
        metadata={"help": "How many bytes of text, evenly sampled over the documents, the merges are learned from."},
    )
    minimum_frequency: int = field(
        default=2,
        metadata={"help": "A pair seen less often than this in the sampled text is never merged."},
    )

    def __post_init__(self) -> None:
        """Check every value."""
        check_whole_number("vocabulary_size", self.vocabulary_size, SMALLEST_VOCABULARY, LARGEST_VOCABULARY)
        check_whole_number("training_bytes", self.training_bytes, 1, LARGEST_SAMPLE)
        check_whole_number("minimum_frequency", self.minimum_frequency, 1)
        if self.pattern not in PATTERNS:
            raise UsageError(f"tokenizer.pattern {self.pattern!r}: choose one of {', '.join(PATTERNS)}")


def check_whole_number(key: str, value: object, at_least: int, at_most: int | None = None) -> None:
    """Raise ``UsageError`` unless ``value`` is an int between the bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"tokenizer.{key} {value!r}: must be a whole number")
    if value < at_least:
        parts = f" ({BYTES} bytes and {len(DEFAULT_SPECIAL_TOKENS)} special tokens)"
        reason = parts if key == "vocabulary_size" else ""
        raise UsageError(f"tokenizer.{key} {value}: at least {at_least}{reason}")
    if at_most is not None and value > at_most:
        raise UsageError(f"tokenizer.{key} {value}: at most {at_most}")
