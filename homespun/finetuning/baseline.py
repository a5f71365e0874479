"""The traditional way, beside every classifier: is the language model worth it?

In: texts and classes of training and validation, texts of the test. Out: probabilities (N, V) of each baseline for the
test's texts. ``BASELINES``, by name:

- hand-made features (``homespun.finetuning.by_hand``) and logistic regression;
- TF-IDF of words and pairs of neighbours, and logistic regression;
- who always says the most frequent class, and how frequent each is.

How strongly weights are held back is chosen among a few strengths by the loss on the validation split. The test is
looked at by nobody.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from homespun.finetuning.by_hand import HandMade
from homespun.finetuning.words import words_of
from homespun.labelled.storage import LabelledSplit

STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # scikit-learn's C: the larger, the freer the weights
MOST_ROUNDS = 2000
MOST_FEATURES, MOST_WEIGHTS = 200_000, 1_000_000  # of TF-IDF: its solver holds about twenty times the weights

Told = Callable[[list[str]], np.ndarray]  # texts -> probabilities (N, V)


def by_hand(train: LabelledSplit, validation: LabelledSplit, count: int) -> Told:
    """A few numbers for each text."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    features = HandMade(train.texts, train.classes, count)
    return fitted(lambda: make_pipeline(FunctionTransformer(features), StandardScaler()), train, validation, count)


def tf_idf(train: LabelledSplit, validation: LabelledSplit, count: int) -> Told:
    """Tens of thousands of them: one for each word, and pair of words, of the training texts: the most frequent."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(map(words_of, train.texts)):
        return most_frequent(train, validation, count)

    def make() -> Any:
        return TfidfVectorizer(
            tokenizer=words_of,
            token_pattern=None,  # pyrefly: ignore
            lowercase=False,
            ngram_range=(1, 2),
            sublinear_tf=True,
            max_features=min(MOST_FEATURES, MOST_WEIGHTS // count),
        )

    return fitted(make, train, validation, count)


def fitted(make: Callable[[], Any], train: LabelledSplit, validation: LabelledSplit, count: int) -> Told:
    """Logistic regression on the features that ``make()`` makes; every class occurs in the training texts."""
    from sklearn.linear_model import LogisticRegression

    features = make()
    rows, held_back = features.fit_transform(train.texts), features.transform(validation.texts)
    tries = [LogisticRegression(C=strength, max_iter=MOST_ROUNDS).fit(rows, train.classes) for strength in STRENGTHS]
    best = min(tries, key=lambda model: surprise(model.predict_proba(held_back), validation.classes))
    return lambda texts: best.predict_proba(features.transform(texts))


def surprise(chances: np.ndarray, classes: np.ndarray) -> float:
    """Mean nats of the true classes."""
    return float(-np.log(np.maximum(chances[np.arange(len(classes)), classes], 1e-300)).mean())


def most_frequent(train: LabelledSplit, validation: LabelledSplit, count: int) -> Told:
    """The shares of the classes in the training texts, for every text."""
    shares = np.bincount(train.classes, minlength=count) / len(train)
    return lambda texts: np.tile(shares, (len(texts), 1))


BASELINES: dict[str, Callable[[LabelledSplit, LabelledSplit, int], Told]] = {
    "hand-made features": by_hand,
    "TF-IDF": tf_idf,
    "most frequent class": most_frequent,
}
