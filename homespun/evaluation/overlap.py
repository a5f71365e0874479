"""Contamination: which test texts, or parts of them, stand in the training text as well?

Runs of n words (Brown et al. 2020, appendix C, took 13). Those of the test texts are held, as eight bytes each; the
training text streams by, however long it is, and never more of it than one document is in memory.

In: test texts, and an iterator over training texts. Out: for each test text how many of its runs were found.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homespun.common.errors import HomespunError
from homespun.common.progress import Advance, ignore
from homespun.evaluation.words import grams, words_of

MOST_RUNS = 20_000_000  # of test texts: about 2 GB


@dataclass(frozen=True)
class Overlap:
    """``found`` of the ``runs`` different runs of a test text are in the training text; ``example``: the first."""

    runs: int
    found: int
    example: str = ""

    @property
    def share(self) -> float:
        """0 for a text that is shorter than a run."""
        return self.found / self.runs if self.runs else 0.0


def overlaps(tests: Sequence[str], training: Iterable[str], size: int, advance: Advance = ignore) -> list[Overlap]:
    """Of each test text; ``advance`` is told of training texts. ``HomespunError`` for more test text than is held."""
    wanted: set[int] = set()
    for text in tests:
        wanted.update(map(key_of, grams(words_of(text), size)))
        if len(wanted) > MOST_RUNS:
            raise HomespunError(f"the test has more than {MOST_RUNS:,} runs of {size} words; give a smaller part of it")
    found = found_runs(wanted, training, size, advance)
    return [overlap_of(text, found, size) for text in tests]


def found_runs(wanted: set[int], training: Iterable[str], size: int, advance: Advance) -> set[int]:
    """Those of the ``wanted`` runs that are in the training text."""
    found: set[int] = set()
    for text in training:
        found.update(key for gram in grams(words_of(text), size) if (key := key_of(gram)) in wanted)
        advance(1)
    return found


def overlap_of(text: str, found: set[int], size: int) -> Overlap:
    """One test text."""
    runs = dict.fromkeys(grams(words_of(text), size))
    hits = [gram for gram in runs if key_of(gram) in found]
    return Overlap(len(runs), len(hits), " ".join(hits[0]) if hits else "")


def key_of(gram: tuple[str, ...]) -> int:
    """64 bits of a run: with 20 million held and a billion read, one such test in a thousand finds a run by mistake."""
    return int.from_bytes(hashlib.blake2b(" ".join(gram).encode("utf-8", "surrogatepass"), digest_size=8).digest())
