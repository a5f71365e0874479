"""How good word vectors are, by two usual measures.

In: vectors and questions. Out: the share of analogies that come out right, by section; and Spearman's rank correlation
between cosines and people's judgements. Questions with a word that the vectors lack are left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from homespun.common.errors import HomespunError
from homespun.inference.word_vectors.nearest import NearestWords
from homespun.inference.word_vectors.questions import Analogies, Judgement
from homespun.training.word_vectors.vocabulary import Array

# Questions answered at once: each takes a row of cosines as long as the vocabulary.
BATCH = 256
# As in the published evaluation: the answer is looked for among so many of the most frequent words.
MOST_CANDIDATES = 300_000


@dataclass(frozen=True)
class SectionScore:
    """Of ``asked`` questions, ``right`` came out right; ``unknown`` had a word without a vector and were not asked."""

    section: str
    asked: int
    right: int
    unknown: int

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; None where nothing was asked."""
        return self.right / self.asked if self.asked else None


@dataclass(frozen=True)
class SimilarityScore:
    """``spearman`` over ``pairs`` of known words; ``unknown`` pairs were left out."""

    spearman: float
    pairs: int
    unknown: int


def score_analogies(nearest: NearestWords, sections: Sequence[Analogies]) -> list[SectionScore]:
    """One score for each section."""
    return [score_section(nearest, section) for section in sections]


def score_section(nearest: NearestWords, section: Analogies) -> SectionScore:
    """Answer the questions of a section by 3CosAdd, as ``NearestWords.analogy`` does, many at once."""
    known = [places for words in section.questions if (places := find_all(nearest, words)) is not None]
    right = sum(count_right(nearest, known[start : start + BATCH]) for start in range(0, len(known), BATCH))
    return SectionScore(section.section, len(known), right, len(section.questions) - len(known))


def find_all(nearest: NearestWords, words: Sequence[str]) -> list[int] | None:
    """Where the words stand, or None if one is not known."""
    places = [place for word in words if (place := nearest.found.find(word)) is not None and place < MOST_CANDIDATES]
    return places if len(places) == len(words) else None


def count_right(nearest: NearestWords, questions: Sequence[Sequence[int]]) -> int:
    """How many of some questions (each four places) are answered with the fourth word."""
    places = np.array(questions)  # (Q, 4)
    candidates = nearest.directions[:MOST_CANDIDATES]  # (V, D)
    first, second, third = (candidates[places[:, column]] for column in range(3))  # (Q, D) each
    cosines = (second - first + third) @ candidates.T  # (Q, V); the length of the sum does not change who is nearest
    cosines[np.arange(len(places))[:, None], places[:, :3]] = -np.inf
    return int((cosines.argmax(1) == places[:, 3]).sum())


def all_together(scores: Sequence[SectionScore]) -> SectionScore:
    """The score over all sections."""
    asked, right, unknown = (sum(getattr(score, name) for score in scores) for name in ("asked", "right", "unknown"))
    return SectionScore("all together", asked, right, unknown)


def score_similarity(nearest: NearestWords, judgements: Sequence[Judgement]) -> SimilarityScore:
    """Compare the order of the cosines with that of the judgements."""
    cosines, scores = [], []
    for judgement in judgements:
        places = find_all(nearest, (judgement.first, judgement.second))
        if places is not None:
            first, second = nearest.directions[places]
            cosines.append(float(first @ second))
            scores.append(judgement.score)
    if len(scores) < 2:
        raise HomespunError(f"of {len(judgements)} judged pairs only {len(scores)} have both words; none can be ranked")
    return SimilarityScore(spearman(np.array(cosines), np.array(scores)), len(scores), len(judgements) - len(scores))


def spearman(left: Array, right: Array) -> float:
    """Spearman's rank correlation of two series (N,), -1 to 1: Pearson's of their ranks; NaN if one never changes."""
    ranks = np.stack([ranked(left), ranked(right)])
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1)
    return float(ranks[0] @ ranks[1] / lengths.prod()) if lengths.all() else float("nan")


def ranked(values: Array) -> Array:
    """The rank of each value, from 1; equal ones share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
