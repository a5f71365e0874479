"""What a model would reach that knows how frequent each token is, and nothing of the text around it.

In: a folder of token shards. Out: its mean surprise over the tokens of the validation split, and how often its one
guess, the commonest token of the training split, is right. Special tokens are left out: nobody has to tell them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from homespun.batches.shards import TokenShards, read_manifest

TOKENS_AT_ONCE = 1 << 22


def unigram_figures(folder: Path, special: Sequence[int] = ()) -> dict[str, float]:
    """``unigram_loss`` in nats per token (half a count added to each token), ``unigram_accuracy`` from 0 to 1."""
    train, validation = (token_counts(folder, split) for split in ("train", "validation"))
    ordinary = np.ones(len(train), dtype=bool)
    ordinary[list(special)] = False
    train, validation = train[ordinary], validation[ordinary]
    chances = (train + 0.5) / (train + 0.5).sum()
    total = max(1, int(validation.sum()))
    return {
        "unigram_loss": float(-(validation * np.log(chances)).sum() / total),
        "unigram_accuracy": float(validation[train.argmax()] / total),
    }


def token_counts(folder: Path, split: str) -> np.ndarray:
    """How often each token occurs in a split, (V,)."""
    shards, vocabulary_size = TokenShards(folder, split), read_manifest(folder)["vocabulary_size"]
    counts = np.zeros(vocabulary_size, dtype=np.int64)
    for start in range(0, len(shards), TOKENS_AT_ONCE):
        counts += np.bincount(shards.read(start, min(TOKENS_AT_ONCE, len(shards) - start)), minlength=vocabulary_size)
    return counts
