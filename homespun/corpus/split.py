"""Train or validation, by the hash of the content.

In: documents. Out: the same texts as ``(split, document)`` pairs. A document longer than a passage is cut
into passages, each passage goes where the hash of its own content says, and neighbours that go the same way
are joined again: so even one big book gives both splits, and the text stays contiguous.

- Joined in order, the parts of a document are the document, exactly.
- The same passage always goes the same way, whatever file it stands in and whatever else is in the corpus:
  no passage is in both splits, by construction, and a corpus that grows keeps its old assignment.
- A pair of texts is never cut. It goes where its source goes, so that all translations of a sentence are together.
- Small corpora get smaller passages, so that there are at least about 20 of them, and when by chance one
  split would stay empty, the threshold is moved to the passage nearest to it (the smallest hash goes to
  validation, or the largest to train).
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, groupby

from homespun.corpus.borders import cut
from homespun.corpus.document import Document
from homespun.corpus.pairs import sides

TRAIN, VALIDATION = "train", "validation"
SPLITS = (TRAIN, VALIDATION)
FEWEST_PASSAGES = 20
SHORTEST_PASSAGE = 32
# Characters held at most while waiting for both splits to have something; enough for fractions down to 0.005.
MOST_WAITING = 1 << 24
HASH_RANGE = 1 << 64


def passage_hash(passage: str) -> int:
    """64 bits of BLAKE2b of the passage without the white space around it, evenly spread over 0 ... 2^64 - 1."""
    return int.from_bytes(hashlib.blake2b(passage.strip().encode("utf-8"), digest_size=8).digest())


def split_documents(
    documents: Iterable[Document], fraction: float, passage_characters: int
) -> Iterator[tuple[str, Document]]:
    """Each document, or its parts, with its split. Holds back the first 20 passages' worth of text (or more,
    up to 16 Mi characters, until both splits have a passage) to choose the threshold; then streams."""
    stream = iter(documents)
    waiting, characters = [], 0
    smallest, largest = HASH_RANGE, -1
    threshold = int(fraction * HASH_RANGE)
    ended = True
    for document in stream:
        waiting.append(document)
        characters += len(document.text)
        hashes = [passage_hash(passage) for passage in passages_of(document, passage_characters)]
        smallest, largest = min(smallest, *hashes), max(largest, *hashes)
        both = smallest < threshold <= largest
        if characters >= FEWEST_PASSAGES * passage_characters and (both or characters >= MOST_WAITING):
            ended = False
            break
    if ended and characters < FEWEST_PASSAGES * passage_characters:
        passage_characters = max(SHORTEST_PASSAGE, characters // FEWEST_PASSAGES)
        hashes = [passage_hash(part) for document in waiting for part in passages_of(document, passage_characters)]
        smallest, largest = min(hashes, default=0), max(hashes, default=0)
    threshold = reachable(threshold, smallest, largest)
    for document in chain(waiting, stream):
        yield from split_document(document, threshold, passage_characters)


def reachable(threshold: int, smallest: int, largest: int) -> int:
    """The threshold, moved so that a passage lies on either side; everything goes to train when all are the same."""
    if smallest == largest:
        return smallest
    return min(max(threshold, smallest + 1), largest)


def passages_of(document: Document, passage_characters: int) -> Iterable[str]:
    """What decides where a document goes: its passages; of a pair the source."""
    pair = sides(document)
    return cut(document.text, passage_characters) if pair is None else pair[:1]


def split_document(document: Document, threshold: int, passage_characters: int) -> Iterator[tuple[str, Document]]:
    """One document: whole where all its passages go the same way, else its runs of passages as documents."""
    runs = groupby(passages_of(document, passage_characters), lambda passage: split_of(passage, threshold))
    parts = [(split, "".join(passages)) for split, passages in runs]
    if len(parts) == 1:
        yield parts[0][0], document
        return
    for number, (split, text) in enumerate(parts):
        yield split, document.with_text(text, run=number)


def split_of(passage: str, threshold: int) -> str:
    """Validation below the threshold, train from it on."""
    return VALIDATION if passage_hash(passage) < threshold else TRAIN
