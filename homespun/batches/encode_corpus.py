"""A prepared corpus and a tokenizer in, a folder of token shards out.

Documents stream: one is encoded, written, forgotten. The manifest records the tokenizer's identity,
so that shards of another tokenizer are never trained on by mistake.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from homespun.batches.shards import FORMAT_VERSION, write_split
from homespun.common.files import atomic_folder, write_json
from homespun.common.progress import Advance, ignore
from homespun.tokenizer.tokenizer import Tokenizer


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
    """Each document as ids, the end-of-text token first."""
    for text in texts:
        yield np.array([tokenizer.end_of_text, *tokenizer.encode(text)], dtype=np.uint32)
