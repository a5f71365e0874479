"""Which tokens of a row are hidden, and what stands in their place: the exercise that BERT learns from.

Devlin et al. 2019, section 3.1 and appendix A.1: 15 % of the tokens are to be told; of these 80 % become the mask, 10 %
another token, and 10 % stay, so that the model may trust no token blindly.

``Hiding.at_random`` does it for training, as a pure function of a key. ``Hiding.in_turn`` deals the tokens of a row out
to a few passes, in each of which its share is hidden (always by the mask): all passes together tell every token once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from homespun.batches.batch import IGNORED
from homespun.batches.order import chances
from homespun.common.errors import HomespunError
from homespun.tokenizer.special import MASK

MASKED, EXCHANGED = 0.8, 0.1  # of the hidden tokens; the rest stay as they are


class Exercise(NamedTuple):
    """A row with hidden tokens: ``inputs`` (T,), and at ``places`` (K,) the ``targets`` (K,), int64 all."""

    inputs: np.ndarray
    places: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Hiding:
    """``mask``: the id that hides. ``ordinary`` (V'): all ids but special ones. ``is_ordinary`` (V): which are."""

    mask: int
    ordinary: np.ndarray
    is_ordinary: np.ndarray

    @staticmethod
    def by(special_tokens: Mapping[str, int], vocabulary_size: int) -> "Hiding":
        """With the mask of a tokenizer."""
        is_ordinary = np.ones(vocabulary_size, dtype=bool)
        is_ordinary[list(special_tokens.values())] = False
        return Hiding(id_of(MASK, special_tokens), np.flatnonzero(is_ordinary), is_ordinary)

    def may_be_hidden(self, row: np.ndarray) -> np.ndarray:
        """The places of a row (T,) with text, not with a mark."""
        return np.flatnonzero(self.is_ordinary[row])

    def at_random(self, row: np.ndarray, count: int, key: int) -> Exercise:
        """``count`` tokens of a row (T,) hidden; where it has fewer, targets that do not count fill up."""
        lots, verdicts, others = chances(key, 3 * len(row)).reshape(3, len(row))
        possible = self.may_be_hidden(row)
        places = np.sort(possible[np.argsort(lots[possible], kind="stable")[:count]])
        inputs, verdict = row.copy(), verdicts[places]
        exchanged = self.ordinary[(others[places] * len(self.ordinary)).astype(np.int64)]
        kept_or_exchanged = np.where(verdict < MASKED + EXCHANGED, exchanged, row[places])
        inputs[places] = np.where(verdict < MASKED, self.mask, kept_or_exchanged)
        return filled_up(inputs, places, row[places], count)

    def in_turn(self, row: np.ndarray, passes: int, count: int, key: int) -> Iterator[Exercise]:
        """The row (T,) once for each of ``passes``; each token that may be hidden is so in exactly one of them.

        ``count``: at least a ``passes``-th part of the row, rounded up.
        """
        possible = self.may_be_hidden(row)
        dealt = possible[np.argsort(chances(key, len(possible)), kind="stable")]
        for number in range(passes):
            places = np.sort(dealt[number::passes])
            inputs = row.copy()
            inputs[places] = self.mask
            yield filled_up(inputs, places, row[places], count)


def filled_up(inputs: np.ndarray, places: np.ndarray, targets: np.ndarray, count: int) -> Exercise:
    """An exercise with ``count`` places, the last of them perhaps without a target."""
    if missing := count - len(places):
        places = np.append(places, np.zeros(missing, np.int64))
        targets = np.append(targets, np.full(missing, IGNORED))
    return Exercise(inputs, places, targets)


def id_of(name: str, special_tokens: Mapping[str, int]) -> int:
    """The id of a mark; ``HomespunError`` where the tokenizer has none."""
    if name not in special_tokens:
        raise HomespunError(
            f"the tokenizer has no special token {name}, which a model that fills gaps needs; "
            f'make one with it: tokenizer.special_tokens = ["{name}"]'
        )
    return special_tokens[name]
