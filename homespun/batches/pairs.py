"""Batches of pairs for translation: source sequences, and target sequences to be predicted from them token by token.

In: shards in which a document is a pair (``homespun.batches.encode_corpus``). Out: batches with

    source            (B, S)  ids of the source, closed by the separator, filled up with 0
    source_documents  (B, S)  1, and 0 for what fills up
    inputs            (B, T)  the end-of-text token, then the target, filled up with 0
    targets           (B, T)  the target, then the end-of-text token, filled up with ``IGNORED``

Which pairs make a batch: ``homespun.batches.like_length``. A pair that does not fit into the context is left out, and
counted.
"""

from collections.abc import Sequence

import numpy as np
import torch

from homespun.batches.batch import IGNORED, Batch
from homespun.batches.shards import TokenShards
from homespun.common.errors import DamagedFileError, HomespunError


class Pairs:
    """The pairs of one split that fit into ``context`` tokens on either side, by number."""

    def __init__(self, shards: TokenShards, context: int, end_of_text: int, separator: int) -> None:
        self.shards = shards
        self.end_of_text = end_of_text
        starts, middles = shards.document_starts(), shards.places_of(separator)
        ends = np.append(starts[1:], len(shards))
        if len(middles) != len(starts) or not ((starts < middles) & (middles < ends)).all():
            raise DamagedFileError(
                f"{shards.folder} does not hold pairs (each document one separator); delete it and run again"
            )
        # The separator closes the source, the end of the text the target: both count.
        sources, targets = middles - starts, ends - middles
        fitting = (sources <= context) & (targets <= context)
        self.left_out = int((~fitting).sum())
        if not fitting.any():
            raise HomespunError(
                f"none of the {len(starts):,} pairs in {shards.folder} fits into {context} tokens: raise model.context"
            )
        self.starts, self.ends = starts[fitting], ends[fitting]
        self.source_lengths, self.target_lengths = sources[fitting], targets[fitting]

    def __len__(self) -> int:
        return len(self.starts)

    def by_length(self, numbers: np.ndarray) -> np.ndarray:
        """The same pairs by their longer side, the shortest first; equally long ones stay in their order."""
        return numbers[order_by_length(self.source_lengths[numbers], self.target_lengths[numbers])]

    def source(self, number: int) -> np.ndarray:
        """Ids of one source, without the separator."""
        return self.shards.read(int(self.starts[number]) + 1, int(self.source_lengths[number]) - 1)

    def batch(self, numbers: np.ndarray) -> Batch:
        """These pairs, filled up to the longest of them."""
        sources, targets = [], []
        for number in numbers.tolist():
            start, end, length = int(self.starts[number]), int(self.ends[number]), int(self.source_lengths[number])
            ids = self.shards.read(start, end - start)
            sources.append(ids[1 : length + 1])
            targets.append(np.append(ids[length + 1 :], self.end_of_text))
        return filled_up(sources, targets, self.end_of_text)


def order_by_length(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The places of pairs whose sides have these lengths (N), sorted by the longer side.

    Of Multi30k's captions 92 % of both sides is then text; by target and then source 90 %, by their sum 83 %.
    """
    return np.lexsort((sources + targets, np.maximum(sources, targets)))


def filled_up(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], end_of_text: int) -> Batch:
    """Pairs as a batch; ``sources`` with the separator at their ends, ``targets`` with what closes them."""
    source = np.zeros((len(sources), max(map(len, sources))), np.int64)
    documents = np.zeros_like(source)
    inputs = np.zeros((len(targets), max(map(len, targets))), np.int64)
    wanted = np.full_like(inputs, IGNORED)
    for row, (read, written) in enumerate(zip(sources, targets, strict=True)):
        source[row, : len(read)], documents[row, : len(read)] = read, 1
        inputs[row, 0], inputs[row, 1 : len(written)] = end_of_text, written[:-1]
        wanted[row, : len(written)] = written
    return Batch(
        torch.from_numpy(inputs),
        torch.from_numpy(wanted),
        source=torch.from_numpy(source),
        source_documents=torch.from_numpy(documents),
    )
