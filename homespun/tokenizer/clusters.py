"""Letters with their marks, merged before anything else, so that no token parts them.

In: counted pieces. Out: the first merges of a vocabulary of our own pattern.

In Bengali, Hindi, Thai or Hebrew a vowel sign is a character of its own, a *mark*, which belongs to the letter before
it. BPE knows nothing of that: it learns a frequent word, and where the word is followed by a vowel sign, the sign of
its last letter stands alone behind it. But the merges learned first are also made first. So the merges that build
frequent letters with their marks out of bytes come before all others: from then on such a cluster is one token, which
can only be joined as a whole. Only marks on letters too rare for a token of their own are left apart. The result is an
ordinary list of merges, which any other program can use. Text without marks has no clusters, and nothing changes.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache

from homespun.tokenizer.patterns import plain_expression
from homespun.tokenizer.plain_training import learn_merges
from homespun.tokenizer.split import CLASS_TEXT, text_of_bytes
from homespun.tokenizer.vocabulary import Pair

CLUSTER = r"\p{L}[\p{M}\u200c\u200d]++"
# At most this share of the merges goes into clusters, and a pair must be about as frequent as those learned last.
LARGEST_SHARE = 4
PIECES_PER_MERGE = 8


def cluster_merges(clusters: Mapping[bytes, int], pieces: int, number: int, minimum_frequency: int) -> list[Pair]:
    """Learn the merges of clusters, for a vocabulary of ``number`` merges from a text of so many ``pieces``."""
    least = max(minimum_frequency, pieces // (PIECES_PER_MERGE * max(1, number)))
    return learn_merges(clusters, number // LARGEST_SHARE, least)


def count_clusters(counts: Mapping[bytes, int]) -> Counter[bytes]:
    """Count the clusters in counted pieces."""
    clusters: Counter[bytes] = Counter()
    for piece, count in counts.items():
        if piece.isascii():
            continue
        text = text_of_bytes(piece)
        for found in cluster_expression().finditer(text.translate(CLASS_TEXT)):
            clusters[text[found.start() : found.end()].encode("utf-8")] += count
    return clusters


@cache
def cluster_expression() -> re.Pattern[str]:
    """Return CLUSTER for class texts."""
    return re.compile(plain_expression(CLUSTER))
