"""Cuts lose nothing, the split follows the content, the set of seen ids is a set."""

import random
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.borders import cut, find_border
from homespun.corpus.deduplicate import SeenIds
from homespun.corpus.document import Document, content_id, make_document
from homespun.corpus.split import TRAIN, VALIDATION, passage_hash, split_documents

LAYOUT = st.text("ab \n\u0301\u200d\u09cd", max_size=300)


@given(LAYOUT | st.text(max_size=300), st.integers(1, 60))
def test_cut_pieces_join_to_the_text_and_are_short(text: str, characters: int) -> None:
    pieces = list(cut(text, characters))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= characters for piece in pieces)


def test_borders_are_chosen_in_order() -> None:
    assert find_border("first paragraph\n\nsecond line\nand words", 0, 24) == 17
    assert find_border("words words\nwords words", 0, 20) == 12
    assert find_border("words words words", 0, 10) == 6
    assert find_border("short", 0, 99) == 5
    assert find_border("কক্ক" * 5, 0, 6) == 5  # the sign of ক্ is not torn off: cut before its letter


@given(st.lists(LAYOUT | st.text(max_size=200), max_size=8), st.floats(0.01, 0.5), st.integers(64, 100))
def test_split_parts_join_to_the_documents(texts: list[str], fraction: float, passage: int) -> None:
    documents = [
        make_document(text, f"file {number}")
        for number, text in enumerate(texts)
        if text and not any("\ud800" <= c <= "\udfff" for c in text)
    ]
    joined: dict[str, str] = defaultdict(str)
    for split, part in split_documents(documents, fraction, passage):
        assert split in (TRAIN, VALIDATION)
        assert part.id == content_id(part.text)
        joined[part.source] += part.text
    assert joined == {document.source: document.text for document in documents}


def paragraphs(count: int, seed: int = 0) -> list[Document]:
    """Documents of one paragraph each."""
    words = random.Random(seed)
    return [
        make_document(" ".join(str(words.randrange(10**6)) for _ in range(20)), str(number)) for number in range(count)
    ]


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5])
def test_the_share_is_as_asked(fraction: float) -> None:
    splits = [split for split, _ in split_documents(paragraphs(4000), fraction, 256)]
    # Five standard deviations of a binomial distribution.
    assert abs(splits.count(VALIDATION) / 4000 - fraction) < 5 * (fraction * (1 - fraction) / 4000) ** 0.5


def test_the_split_depends_on_content_alone() -> None:
    documents = paragraphs(500)
    assigned = {document.id: split for split, document in split_documents(documents, 0.1, 256)}
    backwards = {document.id: split for split, document in split_documents(documents[::-1], 0.1, 256)}
    grown = {document.id: split for split, document in split_documents(paragraphs(50, 7) + documents, 0.1, 256)}
    assert backwards == assigned
    assert assigned.items() <= grown.items()


def test_one_long_text_gives_both_splits_and_no_shared_passage() -> None:
    text = "\n\n".join(document.text for document in paragraphs(300))
    parts = list(split_documents([make_document(text, "book")], 0.1, 256))
    assert {split for split, _ in parts} == {TRAIN, VALIDATION}
    assert all(one != next_one for (one, _), (next_one, _) in pairwise(parts))
    passages = {
        split: {p.strip() for _, part in parts if _ == split for p in part.text.strip().split("\n\n")}
        for split in (TRAIN, VALIDATION)
    }
    assert not passages[TRAIN] & passages[VALIDATION]


@pytest.mark.parametrize("seed", range(30))
def test_tiny_corpora_always_get_both_splits(seed: int) -> None:
    text = "\n".join(document.text for document in paragraphs(9, seed))
    for documents in ([make_document(text, "one")], paragraphs(2, seed)):
        sizes = {TRAIN: 0, VALIDATION: 0}
        for split, part in split_documents(documents, 0.1, 8192):
            sizes[split] += len(part.text)
        assert sizes[TRAIN] > sizes[VALIDATION] > 0


def test_a_tiny_fraction_takes_the_passage_with_the_smallest_hash() -> None:
    documents = paragraphs(60)
    smallest = min(documents, key=lambda document: passage_hash(document.text))
    chosen = [document for split, document in split_documents(documents, 1e-12, 256) if split == VALIDATION]
    assert chosen == [smallest]


@given(st.lists(st.text(max_size=3)))
def test_seen_ids_is_a_set(texts: list[str]) -> None:
    seen, oracle = SeenIds(), set()
    for text in texts:
        assert seen.add(content_id(text)) == (text not in oracle)
        oracle.add(text)
    assert len(seen) == len(oracle)


def test_seen_ids_grows_and_stays_small() -> None:
    seen = SeenIds()
    ids = [content_id(str(number)) for number in range(20_000)]
    assert all(seen.add(identifier) for identifier in ids)
    assert not any(seen.add(identifier) for identifier in ids)
    assert 12 <= 8 * len(seen.slots) / len(seen) <= 24 + 1
    assert seen.add("0" * 32)
    assert not seen.add("0" * 32)
