"""What a text would be like through vocabularies of several sizes: one tokenizer in, the facts of all smaller ones out.

Byte-pair encoding carries out its merges in the order in which they were learned. So the tokens of a smaller
vocabulary are those of a larger one with its last merges undone, and all sizes are counted from one encoding. (Where
letters with marks are merged first, ``homespun.tokenizer.clusters``, a vocabulary that is learned small has fewer of
them than a large one that is cut: there the smallest sizes are an approximation.)
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from homespun.corpus.prepare import CorpusManifest
from homespun.pipeline.planning.facts_of_data import count_tokens, facts_of_counts
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.budget import TextFacts


def facts_by_vocabulary(
    corpus: CorpusManifest, tokenizer: Tokenizer, texts: Callable[[str], Iterable[str]], sizes: Iterable[int]
) -> dict[int, TextFacts]:
    """The facts for each of the ``sizes``, and for the tokenizer's own where a text has not given it as many."""
    train, _ = count_tokens(texts("train"), tokenizer)
    validation, size = count_tokens(texts("validation"), tokenizer)
    wanted = {min(size, tokenizer.vocabulary_size) for size in sizes}
    others = tokenizer.vocabulary_size - BYTES - len(tokenizer.merges)  # special tokens
    cut = zip(undone(train, tokenizer), undone(validation, tokenizer), strict=True)
    return {
        merges + BYTES + others: facts_of_counts(corpus, counts, held_back, size)
        for merges, (counts, held_back) in zip(range(len(tokenizer.merges), -1, -1), cut, strict=True)
        if merges + BYTES + others in wanted
    }


def undone(counts: np.ndarray, tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """How often each token occurs with all merges, with all but the last, with all but the last two, and so on.

    Each array has one number less, and holds until the next is asked for; special tokens, which no text has, are left
    out.
    """
    counts = counts[: BYTES + len(tokenizer.merges)].copy()
    yield counts
    for number, (left, right) in reversed(list(enumerate(tokenizer.merges))):
        times = counts[BYTES + number]
        counts[left] += times
        counts[right] += times
        counts = counts[: BYTES + number]
        yield counts
