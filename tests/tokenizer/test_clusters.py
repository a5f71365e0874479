"""Letters keep their marks: clusters are counted alike on both ways, merged first, and one token afterwards."""

from collections import Counter

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from homespun.tokenizer.clusters import CLUSTER, cluster_merges, count_clusters
from homespun.tokenizer.compiled.counter import count_pieces_compiled
from homespun.tokenizer.plain_training import count_pieces
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.split import Splitter
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import train_tokenizer
from homespun.tokenizer.unicode_classes import MARK, class_of

BENGALI = "দেশের মানুষের কথা বলি। দেশ আমাদের, দেশের মাটি আর দেশের নদী। মানুষ নদীর কাছে থাকে। " * 30
MARKED = st.lists(st.text(st.sampled_from("কখিী্ a1é\u0301\u200dשָהб"), max_size=20), min_size=1, max_size=6)


def starts_with_mark(raw: bytes) -> bool:
    head = raw[:4].decode("utf-8", "ignore")
    return bool(head) and class_of(head[0]) == MARK


@given(MARKED)
def test_both_ways_count_the_same_clusters(texts: list[str]) -> None:
    counts, _ = count_pieces(texts, Splitter("homespun"))
    expected: Counter[bytes] = Counter()
    for text in texts:
        for piece in Splitter("homespun").split(text):
            expected.update(found.encode() for found in regex.findall(CLUSTER, piece))
    assert count_clusters(counts) == expected
    counter, _ = count_pieces_compiled(texts, "homespun", 1)
    assert counter.clusters() == expected


def test_a_table_too_small_for_all_clusters_is_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(letter + mark + other for letter in "কখগঘঙচছজ" for mark in "ািীুূৃেৈোৌ" for other in ("", "\u09cd" * 8))
    counter, _ = count_pieces_compiled([text], "homespun", 1)
    expected = counter.clusters()
    assert len(expected) == 160
    monkeypatch.setattr("homespun.tokenizer.compiled.counter.FIRST_BITS", 4)
    monkeypatch.setattr("homespun.tokenizer.compiled.counter.FIRST_ARENA", 64)
    assert counter.clusters() == expected == count_clusters(count_pieces([text], Splitter("homespun"))[0])


def test_frequent_clusters_are_merged_first_and_never_parted() -> None:
    tokenizer, _ = train_tokenizer([BENGALI], TokenizerConfig(vocabulary_size=600))
    tokens = [tokenizer.token_bytes(token) for token in tokenizer.encode(BENGALI)]
    assert b"".join(tokens).decode() == BENGALI
    assert not any(map(starts_with_mark, tokens))
    without = Tokenizer("homespun", train_tokenizer([BENGALI], TokenizerConfig(600, "gpt2"))[0].merges)
    assert any(starts_with_mark(without.token_bytes(token)) for token in without.encode(BENGALI))


def test_clusters_take_a_quarter_of_the_merges_at_most_and_no_rare_pair() -> None:
    clusters = count_clusters(count_pieces([BENGALI], Splitter("homespun"))[0])
    assert len(cluster_merges(clusters, 1000, 40, 2)) == 10
    few = cluster_merges(clusters, 1_000_000, 1000, 2)
    everything = cluster_merges(clusters, 0, 1000, 2)
    assert few == everything[: len(few)]
    assert len(few) < len(everything)


def test_text_without_marks_has_no_clusters() -> None:
    assert not count_clusters(count_pieces(["plain text, простой текст"], Splitter("homespun"))[0])
