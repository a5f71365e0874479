"""Learning in plain Python: documents -> counted pieces -> merges, with exactly the merges of ``naive.py``.

In: texts. Out: ``Counter`` of pieces; and merges.

The naive trainer counts all pairs again for every merge; here a merge touches only the places where its pair stands,
and the counts of the pairs beside them are corrected. As every place touched makes the text shorter by one token, all
merges together take time linear in the bytes of the distinct pieces, whatever the text: a megabyte without a space
trains as fast as prose. The compiled trainer (``compiled/learning_kernel.py``) does the same with other tables.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from homespun.common.progress import Advance, ignore
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.split import Splitter, bytes_of_text
from homespun.tokenizer.vocabulary import Pair

# Distinct pieces held while counting; about 150 bytes each, 300 MB.
LARGEST_TABLE = 2_000_000

# A pair is one int, left << SHIFT | right: it hashes faster than a tuple and has the same order.
SHIFT = 32
MASK = (1 << SHIFT) - 1
# The token of a border between pieces, and of a place whose byte went into the token before it.
NOTHING = -1


def count_pieces(
    texts: Iterable[str], splitter: Splitter, largest_table: int = LARGEST_TABLE
) -> tuple[Counter[bytes], int]:
    """Count the distinct pieces of ``texts``; also return how many occurrences were dropped to bound the memory."""
    coarse: Counter[str] = Counter()
    dropped = 0
    for text in texts:
        for pieces in splitter.coarse(text):
            coarse.update(pieces)
            if len(coarse) > largest_table:
                dropped += drop_rarest(coarse, largest_table // 2)
    counts: Counter[bytes] = Counter()
    for piece, count in coarse.items():
        for part in splitter.fine(piece):
            counts[bytes_of_text(part)] += count
    return counts, dropped


def drop_rarest(counts: Counter[str], keep: int) -> int:
    """Remove the rarest entries until at most ``keep`` are left; return how many occurrences that were."""
    removed = 0
    for piece, count in sorted(counts.items(), key=lambda entry: (entry[1], entry[0]))[: len(counts) - keep]:
        del counts[piece]
        removed += count
    return removed


def learn_merges(
    piece_counts: Mapping[bytes, int],
    number: int,
    minimum_frequency: int = 2,
    advance: Advance = ignore,
    given: Sequence[Pair] = (),
) -> list[Pair]:
    """Learn up to ``number`` merges, of which the ``given`` ones come first; the i-th makes the token 256 + i.

    Each time the most frequent pair is merged, and of equally frequent ones the one with the smallest ids.
    Stops when no pair is seen ``minimum_frequency`` times.
    """
    text = LinkedText(piece_counts)
    for left, right in given:
        text.merge(left << SHIFT | right, BYTES + len(text.merges))
        advance(1)
    # The most frequent pair on top. Counts only fall once a pair is in the heap, as a new adjacency always has the
    # newest token in it. So an entry that is out of date stands too high, and is put back when it comes up.
    heap = [(-count, pair) for pair, count in text.pair_counts.items() if count >= minimum_frequency]
    heapify(heap)
    merges = text.merges
    while heap and len(merges) < number:
        negative_count, pair = heappop(heap)
        count = text.pair_counts[pair]
        if count < minimum_frequency:
            continue
        if count != -negative_count:
            heappush(heap, (-count, pair))
            continue
        for created in text.merge(pair, BYTES + len(merges)):
            if text.pair_counts[created] >= minimum_frequency:
                heappush(heap, (-text.pair_counts[created], created))
        advance(1)
    return merges


class LinkedText:
    """All distinct pieces behind each other as one linked list of tokens, with an index from pairs to places.

    A place is the offset of the first byte of a token. ``weights`` holds how often the piece of a place occurs.
    Arrays hold four to eight bytes per entry where lists of ints would take 36.
    """

    def __init__(self, piece_counts: Mapping[bytes, int]) -> None:
        """Lay out the pieces and count their pairs."""
        tokens = array("i", [NOTHING])
        weights = array("q", [0])
        for piece, count in piece_counts.items():
            if len(piece) > 1:
                tokens.extend(piece)
                tokens.append(NOTHING)
                weights.extend(array("q", [count]) * (len(piece) + 1))
        self.tokens = tokens
        self.weights = weights
        self.following = array("i", range(1, len(tokens) + 1))
        self.preceding = array("i", range(-1, len(tokens) - 1))
        self.merges: list[Pair] = []
        self.pair_counts: dict[int, int] = {}
        self.places: dict[int, array[int]] = {}
        for place, (left, right) in enumerate(pairwise(tokens)):
            if left != NOTHING and right != NOTHING:
                self.add(left << SHIFT | right, place, weights[place])

    def add(self, pair: int, place: int, weight: int) -> None:
        """Note that ``pair`` stands at ``place``."""
        if pair in self.places:
            self.pair_counts[pair] += weight
            self.places[pair].append(place)
        else:
            self.pair_counts[pair] = weight
            self.places[pair] = array("i", [place])

    def merge(self, pair: int, token: int) -> list[int]:
        """Replace ``pair`` by ``token`` wherever it stands; return the pairs that came to be.

        The places of a pair ascend, for they were all found in one pass from left to right (the merge that made the
        younger of the two tokens): of ``aaa`` the left two become one, as in the naive trainer.
        """
        tokens, following, preceding, weights = self.tokens, self.following, self.preceding, self.weights
        pair_counts, add = self.pair_counts, self.add
        left, right = pair >> SHIFT, pair & MASK
        created = []
        self.merges.append((left, right))
        for place in self.places.pop(pair, ()):
            second = following[place]
            if tokens[place] != left or tokens[second] != right:
                continue  # a neighbour was merged away since
            weight = weights[place]
            before, after = preceding[place], following[second]
            tokens[place] = token
            tokens[second] = NOTHING
            following[place] = after
            preceding[after] = place
            neighbour = tokens[before]
            if neighbour != NOTHING:
                pair_counts[neighbour << SHIFT | left] -= weight
                new = neighbour << SHIFT | token
                if new not in pair_counts:
                    created.append(new)
                add(new, before, weight)
            neighbour = tokens[after]
            if neighbour != NOTHING:
                pair_counts[right << SHIFT | neighbour] -= weight
                new = token << SHIFT | neighbour
                if new not in pair_counts:
                    created.append(new)
                add(new, place, weight)
        pair_counts[pair] = 0
        return created
