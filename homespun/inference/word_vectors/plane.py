"""Vectors -> points on a plane, as true to their distances as a straight projection can be.

In: vectors (N, D). Out: points (N, 2) and which share of the variance they show: principal components (Pearson 1901),
by a singular value decomposition.
"""

import numpy as np

from homespun.training.word_vectors.vocabulary import Array


def project(vectors: Array) -> tuple[Array, float]:
    """The two directions in which the vectors differ most; of each, the largest entry is positive."""
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)  # (N, D)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    shown = min(2, len(sizes))
    points[:, :shown] = left[:, :shown] * sizes[:shown]
    points *= np.where(points[np.abs(points).argmax(0), [0, 1]] < 0, -1, 1)
    variance = float((sizes**2).sum())
    return points, float((sizes[:2] ** 2).sum()) / variance if variance else 1.0
