"""Passages -> word vectors: chunks of the text, handed to threads that all change the same two tables.

In: ``Passages``, a ``WordVocabulary``, a ``WordVectorConfig``. Out: ``WordVectors``.

The threads do not wait for each other (Recht et al. 2011, "Hogwild!"): a step touches a few rows of very many, so two
of them seldom meet, and where they do, a little of one is lost. So with several threads no two results are quite the
same; with one they are, for what is drawn and the rate depend only on the seed and the place in the text.

Small texts are learned by NumPy, where the kernel would have to be compiled first; so is all text where there is no
numba, or with ``HOMESPUN_PLAIN=1``.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from queue import SimpleQueue
from threading import Event, Lock
from typing import NamedTuple, Protocol

import numpy as np

from homespun.common.cores import available_cores
from homespun.common.errors import HomespunError
from homespun.common.progress import Advance, ignore
from homespun.tokenizer.compiled.machine_code import NoMachineCode, is_ready
from homespun.tokenizer.engine import compiled_is_allowed
from homespun.training.word_vectors.compiled.learner import KERNELS, CompiledLearner
from homespun.training.word_vectors.passages import Passages
from homespun.training.word_vectors.plain import PlainLearner
from homespun.training.word_vectors.randomness import first_state
from homespun.training.word_vectors.sampling import draw_table, keep_thresholds
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.tables import Tables, make_tables
from homespun.training.word_vectors.vectors import WordVectors
from homespun.training.word_vectors.vocabulary import WordVocabulary

# Words that a thread takes at once, at one rate.
CHUNK_WORDS = 10_000
# The rate ends at this share of the first one.
LAST_SHARE = 1e-4
# Words of all epochs up to which NumPy is as soon there as a kernel that has to be compiled.
WORTH_COMPILING = 200_000
# What a thread says when it has ended.
NO_MORE = 0


class Chunk(NamedTuple):
    """Passages ``first`` to ``end`` - 1 in one epoch, how many words they have, and what they are learned with."""

    first: int
    end: int
    words: int
    state: int
    rate: float


class Learner(Protocol):
    """The plain or the compiled one."""

    def learn(self, first: int, end: int, state: int, rate: float) -> None: ...


def train_word_vectors(
    passages: Passages, vocabulary: WordVocabulary, config: WordVectorConfig, advance: Advance = ignore
) -> WordVectors:
    """Learn; ``advance`` is told words. Raises ``HomespunError`` when the vectors leave what a float can hold."""
    tables = make_tables(len(vocabulary), config.dimensions, config.seed)
    learners = make_learners(passages, vocabulary, tables, config)
    learn_all(learners, chunks_of(passages, config), advance)
    if not np.isfinite(tables.vectors).all():
        raise HomespunError(f"the vectors went to infinity; give a --learning-rate below {config.first_rate:g}")
    kept = replace(config, threads=len(learners))
    return WordVectors(vocabulary.words, np.ascontiguousarray(tables.learned), vocabulary.counts, kept)


def chunks_of(passages: Passages, config: WordVectorConfig) -> Iterator[Chunk]:
    """The chunks of all epochs, in the order of the text."""
    borders = chunk_borders(passages)
    done, all_words = 0, passages.words * config.epochs
    for epoch in range(config.epochs):
        for number, (first, end) in enumerate(pairwise(borders)):
            words = int(passages.ends[end - 1] - (passages.ends[first - 1] if first else 0))
            rate = config.first_rate * max(1 - done / all_words, LAST_SHARE)
            yield Chunk(first, end, words, first_state(config.seed, epoch, number), rate)
            done += words


def chunk_borders(passages: Passages) -> list[int]:
    """Numbers of passages, from 0 to all, so that between two of them lie about ``CHUNK_WORDS`` words."""
    wanted = np.arange(CHUNK_WORDS, passages.words, CHUNK_WORDS)
    return np.unique([0, *np.searchsorted(passages.ends, wanted), len(passages)]).tolist()


def make_learners(
    passages: Passages, vocabulary: WordVocabulary, tables: Tables, config: WordVectorConfig
) -> Sequence[Learner]:
    """One compiled learner for each thread, or a single plain one."""
    keep, draw = keep_thresholds(vocabulary.counts, config.subsampling), draw_table(vocabulary.counts)
    kernel = KERNELS[config.method]
    work = passages.words * config.epochs
    if compiled_is_allowed() and (is_ready(kernel) or work >= WORTH_COMPILING):
        threads = config.threads or available_cores()
        try:
            return [CompiledLearner(passages, tables, keep, draw, config) for _ in range(threads)]
        except NoMachineCode as error:
            line = f"homespun: word vectors are learned in plain Python, which is many times slower: {error}"
            print(line, file=sys.stderr)
    return [PlainLearner(passages, tables, keep, draw, config)]


def learn_all(learners: Sequence[Learner], chunks: Iterator[Chunk], advance: Advance) -> None:
    """Let every learner take chunk after chunk until there are none; stop them all when one fails, or on Ctrl-C."""
    lock, stopped, finished = Lock(), Event(), SimpleQueue[int]()

    def take() -> Chunk | None:
        with lock:
            return None if stopped.is_set() else next(chunks, None)

    def work(learner: Learner) -> None:
        try:
            while chunk := take():
                learner.learn(chunk.first, chunk.end, chunk.state, chunk.rate)
                finished.put(chunk.words)
        except BaseException:
            stopped.set()
            raise
        finally:
            finished.put(NO_MORE)

    with ThreadPoolExecutor(len(learners)) as pool:
        futures: list[Future[None]] = [pool.submit(work, learner) for learner in learners]
        try:
            for _ in learners:
                while (words := finished.get()) != NO_MORE:
                    advance(words)
        finally:
            stopped.set()
        for future in futures:
            future.result()
