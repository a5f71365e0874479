"""A vocabulary -> the read-only arrays that the kernel of encoding looks things up in.

In: ``Vocabulary``. Out: ``MergeTables``, shared by all threads.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from homespun.tokenizer.compiled.machine_code import load_kernel
from homespun.tokenizer.compiled.workspace import TOKEN_BITS
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.unicode_classes import class_tables
from homespun.tokenizer.vocabulary import Vocabulary

NO_TOKEN = (1 << 31) - 1
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class MergeTables:
    """Arrays by what they answer; ``lengths`` is by public id, the others are in the order of learning."""

    pairs: Array  # int64: left, right and their token in one word; open addressing (see merging.py)
    pair_bits: int
    byte_pairs: Array  # int32 (65536,): the token of two bytes
    public_ids: Array  # int32
    first_same: int  # from this token on the public ids are the tokens themselves
    lengths: Array  # int32: bytes of each public id


def make_merge_tables(vocabulary: Vocabulary) -> MergeTables:
    """Build the tables."""
    merges = np.array(vocabulary.merges, np.int32).reshape(-1, 2)
    bits = max(10, (2 * len(merges)).bit_length())
    pairs = np.zeros((1 << bits) + (1 << bits) // 32, np.int64)  # the entries, and behind them two bits for each
    pairs[: 1 << bits] = -1
    load_kernel("fill_pairs")(merges.ctypes.data, len(merges), BYTES, pairs.ctypes.data, bits)
    byte_pairs = np.full(BYTES * BYTES, NO_TOKEN, np.int32)
    of_bytes = (merges < BYTES).all(axis=1)
    byte_pairs[merges[of_bytes, 0] * BYTES + merges[of_bytes, 1]] = BYTES + np.flatnonzero(of_bytes)
    public_ids = np.array(vocabulary.public_ids(), np.int32)
    lengths = np.zeros(int(public_ids.max()) + 1, np.int32)
    lengths[public_ids] = np.fromiter(map(len, vocabulary.learned_bytes), np.int32, len(public_ids))
    assert len(public_ids) <= 1 << TOKEN_BITS
    different = np.flatnonzero(public_ids != np.arange(len(public_ids)))
    first_same = int(different[-1]) + 1 if len(different) else 0
    return MergeTables(pairs, bits, byte_pairs, public_ids, first_same, lengths)


def unicode_table() -> Array:
    """Return the classes of ASCII, the block numbers, and the blocks, one behind the other (see characters.py)."""
    block_of, blocks = class_tables()
    return np.frombuffer(blocks[block_of[0] * 128 :][:128] + block_of + blocks, np.uint8).copy()
