"""How well texts were sorted: probabilities and true classes in, what ``result.json`` and the report tell out.

The measures and their intervals are those of ``homespun.evaluation``. Each way is also compared with the model: the
difference of the accuracies on the same texts, and how likely so large a one is if both were alike.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from homespun.evaluation.classes import RANGES, classification, confusion
from homespun.evaluation.measure import Measure, figure_of
from homespun.evaluation.paired import compare

MODEL = "model"
MOST_CLASSES = 30  # with more of them the table of confusions is larger than anybody reads
SEED = 0


def figures_of(told: Mapping[str, np.ndarray], classes: np.ndarray) -> dict[str, Any]:
    """``told``: by name the probabilities (N, V) of each way; one of them is ``MODEL``'s. For JSON."""
    accuracies = {name: accuracy(chances, classes) for name, chances in told.items()}
    ways: dict[str, dict[str, Any]] = {}
    for name, chances in told.items():
        figures = {measure.name: asdict(figure_of(measure, SEED)) for measure in classification(classes, chances)}
        ways[name] = {"figures": figures, "calibration": calibration(chances, classes)}
        if chances.shape[1] <= MOST_CLASSES:
            ways[name]["confusion"] = confusion(classes, chances.argmax(1), chances.shape[1]).tolist()
        if name != MODEL:
            ways[name]["compared"] = asdict(compare(accuracies[MODEL], accuracies[name], SEED))
    return {"texts": len(classes), "ways": ways}


def accuracy(chances: np.ndarray, classes: np.ndarray) -> Measure:
    """The first of the measures."""
    return next(measure for measure in classification(classes, chances) if measure.name == "accuracy")


def calibration(chances: np.ndarray, classes: np.ndarray) -> list[dict[str, float]]:
    """For each range of confidence that has answers: how many, how sure they are and how many are right."""
    told, sure = chances.argmax(1), chances.max(1)
    ranges = np.clip(np.ceil(sure * RANGES).astype(int) - 1, 0, RANGES - 1)
    return [
        {
            "from": number / RANGES,
            "to": (number + 1) / RANGES,
            "texts": int(chosen.sum()),
            "confidence": float(sure[chosen].mean()),
            "accuracy": float((told == classes)[chosen].mean()),
        }
        for number in range(RANGES)
        if (chosen := ranges == number).any()
    ]
