"""chrF: how many runs of one to six characters two texts share (Popović 2015), white space left out.

    chrF = 100 · (1 + b²) P R / (b² P + R),   b = 2

P and R, precision and recall, are means over the sizes for which both sides have runs at all. No words are needed, so
it suits every language. The figures are sacrebleu's with its defaults, which the tests compare.

In: a text and its references, of which the best counts. Out: 18 numbers, and chrF of their sums.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from homespun.evaluation.measure import divide

ORDER = 6
WEIGHT_OF_RECALL = 2**2


def counts_of(text: str) -> list[Counter[str]]:
    """Runs of one to six characters."""
    dense = "".join(text.split())
    return [
        Counter(dense[begin : begin + size] for begin in range(len(dense) - size + 1)) for size in range(1, ORDER + 1)
    ]


def chrf_row(text: str, references: Sequence[str]) -> list[int]:
    """For sizes 1 … 6: runs of the text, of the reference, shared."""
    own = counts_of(text)
    rows = [row_of(own, counts_of(reference)) for reference in references]
    return max(rows, key=lambda row: float(chrf(np.array(row))))


def row_of(own: list[Counter[str]], other: list[Counter[str]]) -> list[int]:
    """The same for one reference; of a size that the reference has none of, the text's do not count."""
    row = []
    for mine, theirs in zip(own, other, strict=True):
        row += [mine.total() if theirs else 0, theirs.total(), (mine & theirs).total()]
    return row


def chrf(sums: np.ndarray) -> np.ndarray:
    """Sums (…, 18) of rows -> chrF (…), from 0 to 100."""
    own, other, shared = (sums[..., place::3] for place in range(3))
    counted = (own > 0) & (other > 0)
    sizes = counted.sum(-1)
    precision = divide(np.where(counted, divide(shared, own), 0.0).sum(-1), sizes)
    recall = divide(np.where(counted, divide(shared, other), 0.0).sum(-1), sizes)
    above = (1 + WEIGHT_OF_RECALL) * precision * recall
    return 100 * divide(above, WEIGHT_OF_RECALL * precision + recall)
