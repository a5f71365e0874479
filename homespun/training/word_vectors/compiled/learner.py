"""The Python that gives the kernel memory: one ``CompiledLearner`` for each thread.

In: what ``plain.PlainLearner`` takes. Out: the same steps, without the interpreter's lock.
"""

import numpy as np

from homespun.tokenizer.compiled.machine_code import add_kernel, load_kernel
from homespun.training.word_vectors.compiled import fields
from homespun.training.word_vectors.passages import LONGEST_PASSAGE, Passages
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.tables import LINE_BYTES, Tables, aligned_zeros, rounded_up
from homespun.training.word_vectors.vocabulary import Array

KERNELS = {"skipgram": "word-vectors-skipgram", "cbow": "word-vectors-cbow"}
MODULE = "homespun.training.word_vectors.compiled.kernel"

add_kernel(KERNELS["skipgram"], MODULE, "learn_skip_gram", 1)
add_kernel(KERNELS["cbow"], MODULE, "learn_bag_of_words", 1)


class CompiledLearner:
    """Learns chunks of passages, one at a time."""

    def __init__(self, passages: Passages, tables: Tables, keep: Array, draw: Array, config: WordVectorConfig) -> None:
        """Take what all chunks share, and memory of this thread's own."""
        self.kernel = load_kernel(KERNELS[config.method])
        row_floats = tables.vectors.shape[1]
        most_contexts, most_targets = 2 * config.window, 2 + config.negatives
        self.work = np.zeros(fields.FIELDS, np.int64)
        self.rate = np.zeros(1, np.float32)
        self.arrays = {
            fields.VECTORS: tables.vectors,
            fields.OUTPUTS: tables.outputs,
            fields.IDS: passages.ids,
            fields.ENDS: passages.ends,
            fields.KEEP: keep,
            fields.DRAW: draw,
            fields.RATE: self.rate,
            fields.KEPT: np.zeros(LONGEST_PASSAGE + 1, np.int32),
            fields.CONTEXTS: np.zeros(most_contexts, np.int64),
            fields.TARGETS: np.zeros(most_targets + 1, np.int64),
            fields.NEXT_TARGETS: np.zeros(most_targets + 1, np.int64),
            fields.ERRORS: aligned_zeros((1, rounded_up(most_contexts * most_targets))),
            fields.MOVES: aligned_zeros((most_contexts, row_floats)),
            fields.ROW_COPIES: aligned_zeros((most_contexts, row_floats)),
            fields.TARGET_COPIES: aligned_zeros((most_targets, row_floats)),
            fields.MEAN: aligned_zeros((1, LINE_BYTES // 4 + row_floats)),
        }
        for field, array in self.arrays.items():
            self.work[field] = array.ctypes.data
        self.work[fields.ROW_BYTES] = 4 * row_floats
        self.work[fields.WORDS] = len(keep)
        self.work[fields.REACH], self.work[fields.NEGATIVES] = config.window, config.negatives

    def learn(self, first: int, end: int, state: int, rate: float) -> None:
        """Learn the passages ``first`` to ``end`` - 1."""
        self.work[fields.FIRST], self.work[fields.END], self.work[fields.STATE] = first, end, state
        self.rate[0] = rate
        self.kernel(self.work.ctypes.data)
