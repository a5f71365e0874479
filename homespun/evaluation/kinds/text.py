"""Exact loss of a text: every token predicted once, nothing sampled.

The text is read in windows side by side, as in the validation of training (``homespun.training.validation``), and on a
run's own validation text gives the same figure. For intervals, and to compare models whatever their tokens, the text is
taken in blocks of bytes.
"""

import math
from collections.abc import Iterator

import numpy as np

from homespun.batches.encode_corpus import encode_documents
from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, Texts
from homespun.evaluation.likelihood import Request
from homespun.evaluation.measure import LOWER, Measure, divide, quotient
from homespun.tokenizer.tokenizer import Tokenizer

BLOCK_BYTES = 256
MOST_BLOCKS = 1000
WINDOWS_AT_ONCE = 64
LARGEST_EXPONENT = 700.0


def prepare(material: Material) -> Texts:
    """The text, all of it."""
    if material.limit:
        raise UsageError("--limit means nothing for a task of kind text: all of it is predicted")
    return material.texts()


def score(texts: Texts, subject: Subject, stage: Stage) -> Outcome:
    """Loss, perplexity and bits per byte."""
    sizes = bytes_of_tokens(subject.tokenizer)
    rows, position = np.zeros((1, 3)), 0  # of each block: nats, tokens, bytes
    for tokens in pieces(texts, subject.tokenizer, WINDOWS_AT_ONCE * subject.model.config.context):
        window = subject.model.config.context
        ids = tokens.tolist()
        requests = [
            Request([ids[begin]], ids[begin + 1 : begin + 1 + window]) for begin in range(0, len(ids) - 1, window)
        ]
        nats = np.concatenate([scored.nats for scored in subject.scorer.of_requests(requests)])
        lengths = sizes[tokens[1:]]
        starts = position + np.cumsum(lengths) - lengths
        position += int(lengths.sum())
        # A mark of no bytes at the very end of the text stands where no block begins.
        blocks = np.minimum(starts, max(position - 1, 0)) // BLOCK_BYTES
        rows = added(rows, blocks, np.stack([-nats, np.ones_like(nats), lengths], axis=-1))
        stage.advance(len(nats))
    if not rows[:, 1].sum():
        raise UsageError("the text has no tokens to predict")
    return Outcome(measures_of(merged(rows)))


def measures_of(rows: np.ndarray) -> list[Measure]:
    """Of rows of nats, tokens and bytes."""
    return [
        Measure("loss", rows, quotient, "nats per token", LOWER),
        Measure("perplexity", rows, perplexity, "", LOWER),
        Measure("bits per byte", rows, bits_per_byte, "", LOWER),
    ]


def perplexity(sums: np.ndarray) -> np.ndarray:
    """e to the power of the loss."""
    return np.exp(np.minimum(quotient(sums), LARGEST_EXPONENT))


def bits_per_byte(sums: np.ndarray) -> np.ndarray:
    """The same nats as bits, spread over the bytes of the text."""
    return divide(sums[..., 0] / math.log(2), sums[..., 2])


def pieces(texts: Texts, tokenizer: Tokenizer, length: int) -> Iterator[np.ndarray]:
    """The whole text as ids, the end-of-text token before each document, in pieces of ``length`` targets.

    The last token of a piece is the first of the next one: there it is context.
    """
    held = np.empty(0, np.int64)
    for ids in encode_documents(texts(), tokenizer, [tokenizer.end_of_text]):
        held = np.concatenate([held, ids.astype(np.int64)])
        while len(held) > length:
            yield held[: length + 1]
            held = held[length:]
    if len(held) > 1:
        yield held


def bytes_of_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """How many bytes of text each id stands for (V,); marks for none."""
    sizes = np.zeros(tokenizer.vocabulary_size, dtype=np.int64)
    for token in set(tokenizer.token_ids()) - set(tokenizer.special_tokens.values()):
        sizes[token] = len(tokenizer.token_bytes(token))
    return sizes


def added(rows: np.ndarray, blocks: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Rows with ``numbers`` (n, 3) added to their blocks."""
    missing = int(blocks.max(initial=0)) + 1 - len(rows)
    if missing > 0:
        rows = np.concatenate([rows, np.zeros((max(missing, len(rows)), 3))])  # doubling: linear in all
    np.add.at(rows, blocks, numbers)
    return rows


def merged(rows: np.ndarray) -> np.ndarray:
    """At most a thousand rows, neighbours put together; without the empty ones at the end."""
    rows = rows[: int(np.flatnonzero(rows[:, 1])[-1]) + 1]
    together = -(-len(rows) // MOST_BLOCKS)
    return np.add.reduceat(rows, np.arange(0, len(rows), together))


KIND = Kind(prepare, score, needs=(), takes=("data",))
