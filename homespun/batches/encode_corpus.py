"""A prepared corpus and a tokenizer in, a folder of token shards out.

Documents stream: some megabytes of them are encoded, written, forgotten. The manifest records the tokenizer's identity,
so that shards of another tokenizer are never trained on by mistake.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
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
    texts: Callable[[str], Iterable[str]], tokenizer: Tokenizer, out: Path, advance: Advance = ignore
) -> None:
    """Write shards of the splits ``train`` and ``validation`` to ``out``.

    ``texts(split)`` iterates over the documents of a split. ``advance`` is told bytes of text.
    """
    with atomic_folder(out) as folder:
        splits = {}
        for split in ("train", "validation"):
            counted = ByteCounter(texts(split), advance)
            entry = write_split(folder, split, encode_documents(counted, tokenizer), tokenizer.vocabulary_size)
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


def encode_documents(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    """Each document as ids, the end-of-text token first; batches of them are encoded on all cores."""
    for batch in in_batches(texts, BATCH_CHARACTERS):
        encoded = tokenizer.encode_batch(batch)
        ids = np.insert(encoded.ids, encoded.starts[:-1], tokenizer.end_of_text)
        starts = encoded.starts + np.arange(len(encoded.starts))  # one end of text more before each document
        yield from (ids[start:end] for start, end in pairwise(starts.tolist()))
