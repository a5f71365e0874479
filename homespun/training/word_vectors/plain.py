"""One window after the other in NumPy: the oracle of the kernel, and what works where no kernel does.

In: a run of passages, the state of the random numbers, a rate. Out: changed tables.

A window is one step of stochastic gradient descent on the loss of ``homespun.models.word2vec``: all guesses are made
with the rows as they are, then every row moves. Tests hold ``learn_window`` to autograd.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from homespun.training.word_vectors.passages import Passages
from homespun.training.word_vectors.randomness import Draws
from homespun.training.word_vectors.sampling import draw_word
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.tables import Tables
from homespun.training.word_vectors.vocabulary import Array


class Window(NamedTuple):
    """Word ids: the one in the middle, those around it (at least one), random ones without that in the middle."""

    centre: int
    contexts: list[int]
    negatives: list[int]


def windows_of(passage: Array, keep: Array, draw: Array, reach: int, negatives: int, draws: Draws) -> Iterator[Window]:
    """All windows of a passage after its frequent words were thinned out.

    ``keep`` and ``draw`` are the tables of ``sampling``. Each window reaches 1 to ``reach`` words to both sides, so
    near words count more often than far ones.
    """
    kept = [int(word) for word in passage if draws.draw() < keep[word]]
    for place, centre in enumerate(kept if len(kept) > 1 else []):
        distance = 1 + draws.below(reach)
        contexts = kept[max(0, place - distance) : place] + kept[place + 1 : place + 1 + distance]
        drawn = [draw_word(draw, draws) for _ in range(negatives)]
        yield Window(centre, contexts, [word for word in drawn if word != centre])


def guess_and_learn(rows: Array, outputs: Array, targets: list[int], rate: float) -> Array:
    """Move the outputs of the ``targets`` (the true one first); by how much the ``rows`` (R, D) should move (R, D)."""
    chosen = outputs[targets]  # (T, D)
    is_true = np.zeros(len(targets), np.float32)
    is_true[0] = 1
    errors = np.float32(rate) * (is_true - sigmoid(rows @ chosen.T))  # (R, T)
    np.add.at(outputs, targets, errors.T @ rows)  # a word may be drawn twice
    return errors @ chosen


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * values))


def learn_skip_gram(vectors: Array, outputs: Array, window: Window, rate: float) -> None:
    """Every word around guesses the one in the middle."""
    rows = vectors[window.contexts]  # (R, D)
    moves = guess_and_learn(rows, outputs, [window.centre, *window.negatives], rate)
    np.add.at(vectors, window.contexts, moves)


def learn_bag_of_words(vectors: Array, outputs: Array, window: Window, rate: float) -> None:
    """The mean of the words around guesses."""
    mean = vectors[window.contexts].mean(0, keepdims=True)  # (1, D)
    move = guess_and_learn(mean, outputs, [window.centre, *window.negatives], rate)
    np.add.at(vectors, window.contexts, move / np.float32(len(window.contexts)))


Learn = Callable[[Array, Array, Window, float], None]
LEARN: dict[str, Learn] = {"skipgram": learn_skip_gram, "cbow": learn_bag_of_words}


class PlainLearner:
    """Learns chunks of passages, one at a time."""

    def __init__(self, passages: Passages, tables: Tables, keep: Array, draw: Array, config: WordVectorConfig) -> None:
        """Take what all chunks share."""
        self.passages, self.tables, self.keep, self.draw, self.config = passages, tables, keep, draw, config
        self.learn_window = LEARN[config.method]

    def learn(self, first: int, end: int, state: int, rate: float) -> None:
        """Learn the passages ``first`` to ``end`` - 1."""
        draws = Draws(state)
        config = self.config
        for number in range(first, end):
            passage = self.passages.passage(number)
            for window in windows_of(passage, self.keep, self.draw, config.window, config.negatives, draws):
                self.learn_window(self.tables.learned, self.tables.learned_outputs, window, rate)
