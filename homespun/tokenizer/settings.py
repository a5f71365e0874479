"""The choices one makes about a tokenizer, checked when they are made.

In: the values of the section ``tokenizer`` of a recipe. Out: ``TokenizerConfig``. Imports nothing heavy.
"""

from dataclasses import dataclass, field

from homespun.common.errors import UsageError
from homespun.tokenizer.patterns import DEFAULT_PATTERN, PATTERNS
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS

BYTES = 256
# Four times the largest vocabulary in use; beyond it a typing error is likelier than a wish.
LARGEST_VOCABULARY = 1_000_000
# A sample is held in memory.
LARGEST_SAMPLE = 2_000_000_000
MOST_THREADS = 1024


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
        default=0,
        metadata={"help": "How many bytes, sampled evenly over the documents, to learn from; 0: all of them."},
    )
    minimum_frequency: int = field(
        default=2,
        metadata={"help": "A pair seen less often than this in the text is never merged."},
    )
    special_tokens: tuple[str, ...] = field(
        default=(),
        metadata={"help": "Names of further special tokens, such as <|user|>; they are part of the size."},
    )
    reserved_tokens: int = field(
        default=0,
        metadata={"help": "How many special tokens <|reserved_0|> … to keep for later; they are part of the size."},
    )
    threads: int = field(
        default=0,
        metadata={"help": "How many threads count the pieces of the text; 0: one per core."},
    )

    def __post_init__(self) -> None:
        """Check every value."""
        check_whole_number("reserved_tokens", self.reserved_tokens, 0, LARGEST_VOCABULARY)
        check_special_names(self.special_names())
        smallest = BYTES + len(self.special_names())
        check_whole_number("vocabulary_size", self.vocabulary_size, smallest, LARGEST_VOCABULARY)
        check_whole_number("training_bytes", self.training_bytes, 0, LARGEST_SAMPLE)
        check_whole_number("minimum_frequency", self.minimum_frequency, 1)
        check_whole_number("threads", self.threads, 0, MOST_THREADS)
        if self.pattern not in PATTERNS:
            raise UsageError(f"tokenizer.pattern {self.pattern!r}: choose one of {', '.join(PATTERNS)}")

    def special_names(self) -> tuple[str, ...]:
        """Return the names of all special tokens, in the order of their ids."""
        reserved = (f"<|reserved_{number}|>" for number in range(self.reserved_tokens))
        return (*DEFAULT_SPECIAL_TOKENS, *self.special_tokens, *reserved)


def check_special_names(names: tuple[str, ...]) -> None:
    """Raise ``UsageError`` for a name that is empty, there twice, or has white space in it."""
    for place, name in enumerate(names):
        if not name or any(character.isspace() for character in name):
            raise UsageError(f"tokenizer.special_tokens {name!r}: write it in one word, such as <|user|>")
        if name in names[:place]:
            raise UsageError(f"tokenizer.special_tokens {name!r}: it is there already; give each its own name")


def check_whole_number(key: str, value: object, at_least: int, at_most: int | None = None) -> None:
    """Raise ``UsageError`` unless ``value`` is an int between the bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"tokenizer.{key} {value!r}: must be a whole number")
    if value < at_least:
        parts = f" ({BYTES} bytes and {at_least - BYTES} special tokens)"
        reason = parts if key == "vocabulary_size" else ""
        raise UsageError(f"tokenizer.{key} {value}: at least {at_least}{reason}")
    if at_most is not None and value > at_most:
        raise UsageError(f"tokenizer.{key} {value}: at most {at_most}")
