"""The kinds of tasks there are, by name: one line each."""

from homespun.evaluation.kind import Kind
from homespun.evaluation.kinds import (
    canaries,
    choice,
    classification,
    cloze,
    contamination,
    generation,
    memorization,
    pairs,
    text,
    variety,
)

KINDS: dict[str, Kind] = {
    "text": text.KIND,
    "choice": choice.KIND,
    "classification": classification.KIND,
    "cloze": cloze.KIND,
    "pairs": pairs.KIND,
    "generation": generation.KIND,
    "variety": variety.KIND,
    "memorization": memorization.KIND,
    "canaries": canaries.KIND,
    "contamination": contamination.KIND,
}
