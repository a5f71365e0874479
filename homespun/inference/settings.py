"""How tokens are chosen, as frozen dataclasses: what a user can write under ``[sampling]``, and for translations.

Imports no torch.
"""

from dataclasses import dataclass, field

from homespun.common.errors import UsageError

MOST_BEAMS = 256


@dataclass(frozen=True)
class SamplingConfig:
    """Rules of choice, applied in this order: temperature, top-k, min-p, top-p."""

    temperature: float = field(default=0.8, metadata={"help": "0: always the likeliest token; 1: as the model says"})
    top_k: int = field(default=0, metadata={"help": "only the k likeliest tokens (0: all)"})
    top_p: float = field(default=1.0, metadata={"help": "only the likeliest tokens that make up this probability"})
    min_p: float = field(
        default=0.05, metadata={"help": "only tokens at least this probable relative to the likeliest"}
    )
    seed: int = field(default=1, metadata={"help": "the same seed gives the same text"})
    maximum_tokens: int = field(default=200, metadata={"help": "stop after so many new tokens"})
    stop: tuple[str, ...] = field(default=(), metadata={"help": "stop before any of these texts"})

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"sampling.temperature is {self.temperature}; it must be a number, at least 0")
        if self.top_k < 0:
            raise UsageError(f"sampling.top_k is {self.top_k}; it must be at least 0 (0: all tokens)")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"sampling.top_p is {self.top_p}; it must be above 0 and at most 1")
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"sampling.min_p is {self.min_p}; it must lie between 0 and 1")
        if self.maximum_tokens < 1:
            raise UsageError(f"sampling.maximum_tokens is {self.maximum_tokens}; it must be at least 1")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"sampling.seed is {self.seed}; it must be at least 0 and below 2^64")
        if "" in self.stop:
            raise UsageError("sampling.stop holds an empty text, which would stop everything; leave it out")


@dataclass(frozen=True)
class BeamConfig:
    """How a translation is searched for (``homespun.inference.beam``)."""

    beam: int = field(default=4, metadata={"help": "how many beginnings of a translation are kept (1: greedy)"})
    length_penalty: float = field(
        default=0.6, metadata={"help": "0: short ones win; 1: nearly the mean over the tokens; more: long ones win"}
    )

    def __post_init__(self) -> None:
        if not 1 <= self.beam <= MOST_BEAMS:
            raise UsageError(f"--beam is {self.beam}; it must lie between 1 and {MOST_BEAMS}")
        if not 0 <= self.length_penalty <= 10:
            raise UsageError(f"--length-penalty is {self.length_penalty}; it must lie between 0 and 10")
