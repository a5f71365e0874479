"""BLEU: how many runs of one to four words of a text are also in a reference (Papineni et al. 2002).

    BLEU = 100 · brevity · (p1 p2 p3 p4)^(1/4),   brevity = min(1, exp(1 - reference length / length))

p_n: share of the n-grams that the reference has too, each counted at most as often as there; all over the whole corpus.
Where no n-gram of a size is found its count is taken for 1/2, for the next such size 1/4, and so on (NIST's smoothing).
Texts are cut as by WMT's program mteval-v13a. So the figures are sacrebleu's with its defaults (Post 2018), which the
tests compare. It is made for languages that write spaces; take chrF for others.

In: texts and for each its references. Out: for each text ten numbers, and BLEU of their sums.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from homespun.evaluation.measure import divide
from homespun.evaluation.words import grams

ORDER = 4
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# Marks stand alone; full stops and commas unless between digits; a hyphen after a digit.
CUTS = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def tokens_of(text: str) -> list[str]:
    """Words and marks, as mteval-v13a cuts them."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for name, character in ENTITIES:
        text = text.replace(name, character)
    text = f" {text} "
    for pattern, spaced in CUTS:
        text = pattern.sub(spaced, text)
    return text.split()


def counts_of(tokens: Sequence[str]) -> Counter[tuple[str, ...]]:
    """All runs of one to four tokens."""
    return Counter(gram for size in range(1, ORDER + 1) for gram in grams(tokens, size))


def bleu_row(text: str, references: Sequence[str]) -> list[int]:
    """Length, the reference's length nearest to it, and for n = 1 … 4 what is found and what there is."""
    tokens, others = tokens_of(text), [tokens_of(reference) for reference in references]
    most: Counter[tuple[str, ...]] = Counter()
    for other in others:
        most |= counts_of(other)
    found, total = [0] * ORDER, [0] * ORDER
    for gram, times in counts_of(tokens).items():
        total[len(gram) - 1] += times
        found[len(gram) - 1] += min(times, most[gram])
    nearest = min((len(other) for other in others), key=lambda length: (abs(length - len(tokens)), length))
    return [len(tokens), nearest, *found, *total]


def bleu(sums: np.ndarray) -> np.ndarray:
    """Sums (…, 10) of rows -> BLEU (…), from 0 to 100."""
    length, reference = sums[..., 0], sums[..., 1]
    found, total = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER :]
    empty = (found == 0) & (total > 0)
    smooth = np.where(empty, 0.5 ** np.cumsum(empty, axis=-1), found)
    shares = divide(100 * smooth, total)
    # A size that no text is long enough for makes the product nothing, whatever the others are.
    logarithms = np.log(np.where(shares > 0, shares, 1.0)).sum(-1) / ORDER
    brevity = np.exp(np.minimum(0.0, 1 - divide(reference, length)))
    possible = (shares > 0).all(-1) & (found > 0).any(-1) & (length > 0)
    return np.where(possible, brevity * np.exp(logarithms), 0.0)
