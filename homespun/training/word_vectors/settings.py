"""The knobs of word vectors, each with its meaning and its help text; imports nothing heavy.

In: values from the command line or from Python. Out: a checked ``WordVectorConfig``.
"""

from dataclasses import dataclass, field
from typing import Literal

from homespun.common.errors import UsageError

Method = Literal["skipgram", "cbow"]
METHODS: tuple[Method, ...] = ("skipgram", "cbow")
# Skip-gram's is the published program's. Its 0.05 for CBOW goes with moving each word of a window by the whole error;
# here each moves by its share of it, the gradient of a mean, and needs the larger step (docs/experiments.md).
USUAL_RATES = {"skipgram": 0.025, "cbow": 0.1}
LARGEST_DIMENSIONS, LARGEST_WINDOW, MOST_NEGATIVES, MOST_EPOCHS, MOST_THREADS = 4096, 1000, 1000, 100_000, 1024


@dataclass(frozen=True)
class WordVectorConfig:
    """How to learn word vectors. A value out of range raises ``UsageError``, one line that names the key."""

    method: Method = field(
        default="skipgram",
        metadata={"help": "skipgram (better with little text) or cbow (faster)."},
    )
    dimensions: int = field(default=100, metadata={"help": "How many numbers a word's vector has."})
    window: int = field(
        default=5,
        metadata={"help": "Words up to this far away count; how far is drawn anew for each place."},
    )
    negatives: int = field(default=5, metadata={"help": "Random words to tell the true one from."})
    epochs: int = field(default=5, metadata={"help": "How often to go over the text."})
    minimum_count: int = field(default=5, metadata={"help": "Words that occur less often are left out."})
    subsampling: float = field(
        default=1e-3,
        metadata={"help": "Occurrences of words that are a larger share of the text are thinned out; 0: none."},
    )
    learning_rate: float = field(
        default=0.0,
        metadata={"help": "First step size; it falls to zero in a straight line. 0: 0.025 (skipgram) or 0.1 (cbow)."},
    )
    keep_case: bool = field(default=False, metadata={"help": "Tell Word from word."})
    threads: int = field(
        default=0,
        metadata={"help": "How many threads learn; 0: one per core. With one the result is the same every time."},
    )
    seed: int = field(default=1, metadata={"help": "Where the random numbers begin."})

    def __post_init__(self) -> None:
        """Check every value."""
        if self.method not in METHODS:
            raise UsageError(f"method {self.method!r}: choose one of {', '.join(METHODS)}")
        check_whole_number("dimensions", self.dimensions, 1, LARGEST_DIMENSIONS)
        check_whole_number("window", self.window, 1, LARGEST_WINDOW)
        check_whole_number("negatives", self.negatives, 1, MOST_NEGATIVES)
        check_whole_number("epochs", self.epochs, 1, MOST_EPOCHS)
        check_whole_number("minimum_count", self.minimum_count, 1)
        check_whole_number("threads", self.threads, 0, MOST_THREADS)
        check_whole_number("seed", self.seed, 0)
        if not 0 <= self.subsampling <= 1:
            raise UsageError(f"subsampling {self.subsampling}: give a number from 0 to 1")
        if not 0 <= self.learning_rate <= 10:
            raise UsageError(f"learning_rate {self.learning_rate}: give a number above 0 and at most 10, or 0")

    @property
    def first_rate(self) -> float:
        """The step size at the beginning."""
        return self.learning_rate or USUAL_RATES[self.method]


def check_whole_number(key: str, value: object, at_least: int, at_most: int | None = None) -> None:
    """Raise ``UsageError`` unless ``value`` is an int between the bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{key} {value!r}: must be a whole number")
    if value < at_least or (at_most is not None and value > at_most):
        bounds = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most:,}"
        raise UsageError(f"{key} {value}: give {bounds}")
