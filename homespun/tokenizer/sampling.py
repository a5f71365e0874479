"""An even sample of a stream of documents of unknown length, in one pass and in bounded memory.

In: documents and a budget in bytes. Out: passages that fit the budget, drawn evenly from all of the stream.

Every passage draws a number from its place in the stream, and the passages with the smallest numbers are kept (a
bottom-k sample, Cohen and Kaplan 2007). Taking every n-th document instead would take a single source out of a mixture
in which the sources take turns. The draws are a hash, so the same documents give the same sample on every machine.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from homespun.tokenizer.split import Splitter, bytes_of_text


@dataclass
class Sample:
    """The passages kept (UTF-8), and how much they are of what was there."""

    passages: list[bytes] = field(default_factory=list)
    documents: int = 0
    bytes_seen: int = 0
    bytes_kept: int = 0


def sample_evenly(documents: Iterable[str], budget: int, splitter: Splitter) -> Sample:
    """Keep at most ``budget`` bytes. Documents longer than a window of the splitter are sampled window by window."""
    sample = Sample()
    heap: list[tuple[int, int, bytes]] = []  # the largest draw on top
    place = 0
    smallest_dropped = 1 << 64
    for document in documents:
        sample.documents += 1
        for passage in splitter.windows(document):
            raw = bytes_of_text(passage)
            sample.bytes_seen += len(raw)
            place += 1
            draw = draw_of_place(place)
            if draw >= smallest_dropped:
                continue
            heappush(heap, (-draw, place, raw))
            sample.bytes_kept += len(raw)
            while sample.bytes_kept > budget and len(heap) > 1:
                negative_draw, _, dropped = heappop(heap)
                smallest_dropped = -negative_draw
                sample.bytes_kept -= len(dropped)
    # Ordered by their place, so that the sample does not depend on the history of the heap.
    sample.passages = [raw for _, _, raw in sorted(heap, key=lambda kept: kept[1])]
    if sample.bytes_kept > budget:  # a single passage larger than the whole budget
        sample.passages = [sample.passages[0][:budget]]
        sample.bytes_kept = budget
    return sample


def draw_of_place(place: int) -> int:
    """Return a number below 2**64 that looks random and depends on ``place`` only."""
    return int.from_bytes(hashlib.blake2b(place.to_bytes(8, "little"), digest_size=8).digest(), "little")
