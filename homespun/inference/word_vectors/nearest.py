"""Words by the angle between their vectors.

In: ``WordVectors`` and words. Out: other words with the cosine of the angle, nearest first. A vector of zeros
has no direction; its cosine is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from homespun.common.errors import UsageError
from homespun.training.word_vectors.vectors import WordVectors
from homespun.training.word_vectors.vocabulary import Array


@dataclass(frozen=True)
class Neighbour:
    """A word, and the cosine of the angle to what was asked for."""

    word: str
    cosine: float


@dataclass(frozen=True)
class NearestWords:
    """Answers questions about one set of vectors."""

    found: WordVectors

    @cached_property
    def directions(self) -> Array:
        """The vectors with length 1 (V, D)."""
        return directions(self.found.vectors)

    def neighbours(self, word: str, number: int = 10) -> list[Neighbour]:
        """The ``number`` words nearest to one; ``UsageError`` if it is not known."""
        place = self.found.must_find(word)
        return self.nearest(self.directions[place], [place], number)

    def analogy(self, first: str, second: str, third: str, number: int = 10) -> list[Neighbour]:
        """What is to ``third`` as ``second`` is to ``first``: nearest to second - first + third, none of the three.

        Mikolov et al. 2013, "Linguistic Regularities in Continuous Space Word Representations", with unit vectors
        (3CosAdd in Levy & Goldberg 2014).
        """
        places = [self.found.must_find(word) for word in (first, second, third)]
        one, two, three = self.directions[places]
        return self.nearest(two - one + three, places, number)

    def nearest(self, vector: Array, left_out: Sequence[int], number: int) -> list[Neighbour]:
        """The words nearest to a vector (D,), without some."""
        if number < 1:
            raise UsageError(f"{number} words: ask for at least 1")
        cosines = self.directions @ directions(vector[None])[0]  # (V,)
        cosines[list(left_out)] = -np.inf
        number = min(number, len(cosines) - len(set(left_out)))
        if number <= 0:
            return []
        nearest = np.argpartition(-cosines, number - 1)[:number]
        nearest = nearest[np.lexsort((nearest, -cosines[nearest]))]
        return [Neighbour(self.found.words[place], float(cosines[place])) for place in nearest]


def directions(vectors: Array) -> Array:
    """Vectors (N, D) with length 1; zero ones stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
