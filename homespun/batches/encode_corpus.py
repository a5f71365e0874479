"""A prepared corpus and a tokenizer in, a folder of token shards out.

Documents stream: some megabytes of them are encoded, written, forgotten. The manifest records the tokenizer's identity,
so that shards of another tokenizer are never trained on by mistake.

A document is the end-of-text token and the ids of its text. That of a pair goes on with the separator, a special token
of the model's, and the ids of the target. No text can hold either token: special tokens are encoded only when they are
asked for by name, and here nobody asks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from homespun.batches.shards import FORMAT_VERSION, write_split
from homespun.common.files import atomic_folder, write_json
from homespun.common.progress import Advance, ignore
from homespun.tokenizer.compiled.documents import in_batches
from homespun.tokenizer.tokenizer import Tokenizer

# Encoded at once: enough for several threads, and some ten megabytes with all its ids.
BATCH_CHARACTERS = 1 << 22


def encode_corpus(
    texts: Callable[[str], Iterable[str]],
    tokenizer: Tokenizer,
    out: Path,
    advance: Advance = ignore,
    separators: Sequence[str] = (),
) -> None:
    """Write shards of the splits ``train`` and ``validation`` to ``out``.

    ``texts(split)`` iterates over the documents of a split. ``advance`` is told bytes of text. With ``separators``,
    names of special tokens, a document is so many texts more, one after another, and a separator stands before each.
    """
    marks = [tokenizer.end_of_text, *(tokenizer.special_id(name) for name in separators)]
    with atomic_folder(out) as folder:
        splits = {}
        for split in ("train", "validation"):
            counted = ByteCounter(texts(split), advance)
            entry = write_split(folder, split, encode_documents(counted, tokenizer, marks), tokenizer.vocabulary_size)
            splits[split] = entry | {"bytes": counted.bytes}
        manifest = {
            "format": FORMAT_VERSION,
            "vocabulary_size": tokenizer.vocabulary_size,
            "tokenizer": tokenizer.identity(),
            "splits": splits,
        }
        write_json(folder / "manifest.json", manifest)


class ByteCounter:
    """Passes documents on and counts their UTF-8 bytes."""

    def __init__(self, texts: Iterable[str], advance: Advance) -> None:
        self.texts = texts
        self.advance = advance
        self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            size = len(text.encode("utf-8"))
            self.bytes += size
            yield text
            self.advance(size)


def encode_documents(texts: Iterable[str], tokenizer: Tokenizer, marks: Sequence[int]) -> Iterator[np.ndarray]:
    """Each document as ids: as many texts as there are ``marks``, each with its mark first."""
    encoded = encode_texts(texts, tokenizer, marks)
    if len(marks) == 1:
        yield from encoded
        return
    for first in encoded:
        yield np.concatenate([first, *islice(encoded, len(marks) - 1)])


def encode_texts(texts: Iterable[str], tokenizer: Tokenizer, marks: Sequence[int]) -> Iterator[np.ndarray]:
    """Each text as ids, one of ``marks`` in turn first; batches of them are encoded on all cores."""
    turn = 0
    for batch in in_batches(texts, BATCH_CHARACTERS):
        encoded = tokenizer.encode_batch(batch)
        first = np.take(marks, np.arange(turn, turn + len(batch)), mode="wrap")
        turn += len(batch)
        ids = np.insert(encoded.ids, encoded.starts[:-1], first)
        starts = encoded.starts + np.arange(len(encoded.starts))  # one mark more before each text
        yield from (ids[start:end] for start, end in pairwise(starts.tolist()))
