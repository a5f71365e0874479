"""Measures of classification: true classes, told classes and their probabilities in; measures out.

- accuracy; *balanced* accuracy: the mean over classes of how many of each are found, so that a rare class counts as
  much as a frequent one;
- macro F1: per class the harmonic mean of precision and recall, then the mean over the classes that occur at all;
- Brier score: the mean squared distance of the probabilities from the truth (1950), from 0 to 2;
- calibration error (ECE, Naeini et al. 2015; Guo et al. 2017): answers sorted into 15 equal ranges of confidence, the
  mean distance between how sure and how right the answers of a range are.

Shapes: N examples, L classes.
"""

from collections.abc import Sequence

import numpy as np

from homespun.evaluation.measure import LOWER, SHARE, Measure, divide, mean_of, share_of

RANGES = 15
MOST_CLASSES = 100


def classification(truth: Sequence[int] | np.ndarray, probabilities: np.ndarray) -> list[Measure]:
    """All measures of probabilities (N, L) for the classes 0 … L - 1; the likeliest is what is told, of equals the
    first."""
    true, told = np.asarray(truth), probabilities.argmax(-1)
    classes = probabilities.shape[-1]
    pairs = np.eye(classes * classes)[true * classes + told]  # (N, L²), a row of the confusion matrix after the other
    distance = ((probabilities - np.eye(classes)[true]) ** 2).sum(-1)
    confidence = probabilities[np.arange(len(told)), told]
    return [
        share_of("accuracy", true == told),
        Measure("balanced accuracy", pairs, balanced_accuracy, SHARE),
        Measure("macro F1", pairs, macro_f1, SHARE),
        mean_of("Brier score", distance, better=LOWER),
        Measure("calibration error", calibration_rows(confidence, true == told), calibration_error, SHARE, LOWER),
    ]


def confusion(truth: Sequence[int] | np.ndarray, told: Sequence[int] | np.ndarray, classes: int) -> np.ndarray:
    """How often each true class (rows) was told as which (columns): (L, L)."""
    return np.bincount(np.asarray(truth) * classes + np.asarray(told), minlength=classes**2).reshape(classes, classes)


def square(sums: np.ndarray) -> np.ndarray:
    """Sums (…, L²) as confusion matrices (…, L, L)."""
    classes = int(np.sqrt(sums.shape[-1]))
    return sums.reshape(*sums.shape[:-1], classes, classes)


def balanced_accuracy(sums: np.ndarray) -> np.ndarray:
    """The mean share found, over the classes that there are examples of."""
    matrix = square(sums)
    found, there = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1)
    return divide(divide(found, there).sum(-1), (there > 0).sum(-1))


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """The mean F1, over the classes that occur as truth or as answer."""
    matrix = square(sums)
    found = np.diagonal(matrix, axis1=-2, axis2=-1)
    there = matrix.sum(-1) + matrix.sum(-2)
    return divide(divide(2 * found, there).sum(-1), (there > 0).sum(-1))


def calibration_rows(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For each example, at the place of its range: how right minus how sure; and 1 at the end: (N, 16)."""
    ranges = np.clip(np.ceil(confidence * RANGES).astype(int) - 1, 0, RANGES - 1)
    rows = np.eye(RANGES)[ranges] * (right - confidence)[:, None]
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)


def calibration_error(sums: np.ndarray) -> np.ndarray:
    """The distances of all ranges, each weighted by its examples."""
    return divide(np.abs(sums[..., :-1]).sum(-1), sums[..., -1])
