"""The compiled trainer: the counts and the merges of the plain one and of the naive one, in bounded memory."""

import ctypes
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.tokenizer import training
from homespun.tokenizer.compiled import counter as counter_module
from homespun.tokenizer.compiled import workspace as field
from homespun.tokenizer.compiled.counter import PieceCounter, count_pieces_compiled
from homespun.tokenizer.compiled.documents import Batch, make_batch
from homespun.tokenizer.compiled.learner import Learner
from homespun.tokenizer.compiled.piece_table import LONG
from homespun.tokenizer.naive import encode_naively, learn_merges_naively, merge
from homespun.tokenizer.plain_training import count_pieces, learn_merges
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.split import Splitter, text_of_bytes
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import TrainingReport, train_tokenizer
from homespun.tokenizer.vocabulary import Pair
from tests.tokenizer.conftest import MIXED_TEXT, examples, random_bytes, random_text, readable_until, real_file

PATTERN = "homespun"
SPLITTER = Splitter(PATTERN)
# Few letters, so that pairs overlap and counts tie all the time.
TEXTS = st.lists(st.text("abc ", max_size=80) | st.text("aab", max_size=200), max_size=4)


def counted(texts: Sequence[str | bytes], last_bits: int = counter_module.LAST_BITS) -> PieceCounter:
    counter = PieceCounter(PATTERN, last_bits)
    if texts:
        counter.count(make_batch(texts))
    return counter


def pieces_of(counter: PieceCounter) -> dict[bytes, int]:
    """Read the table of counts as it is described in piece_table.py."""
    found = {}
    for slot in counter.slots.reshape(-1, field.SLOT):
        high, count = int(slot[8:16].view(np.int64)[0]), int(slot[field.COUNT :].view(np.int64)[0])
        if high >= LONG:
            first = int(slot[16:20].view(np.uint32)[0])
            found[counter.arena[first : first + (high - LONG)].tobytes()] = count
        elif high:
            found[slot[: high >> 56].tobytes()] = count
    return found


def plainly_counted(texts: Sequence[str | bytes]) -> Counter[bytes]:
    return count_pieces((text if isinstance(text, str) else text_of_bytes(text) for text in texts), SPLITTER)[0]


def learn_naively_after(given: Sequence[Pair], counts: Mapping[bytes, int], number: int, least: int) -> list[Pair]:
    """The naive trainer, continued: the given merges are made first, however rare."""
    sequences = [(encode_naively(piece, given), count) for piece, count in counts.items()]
    merges = list(given)
    while len(merges) < number:
        pairs: Counter[Pair] = Counter()
        for ids, count in sequences:
            for pair in pairwise(ids):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < least:
            break
        sequences = [(merge(ids, best, 256 + len(merges)), count) for ids, count in sequences]
        merges.append(best)
    return merges


@pytest.fixture(autouse=True)
def small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are small at first: they grow in every test, and reading them takes no time."""
    monkeypatch.setattr(counter_module, "FIRST_BITS", 5)
    monkeypatch.setattr(counter_module, "FIRST_ARENA", 64)


def test_counts_are_those_of_the_plain_counter() -> None:
    random = Random(1)
    texts: list[str | bytes] = [random_text(random) for _ in range(examples(500))]
    texts += [random_bytes(random) for _ in range(examples(300))]
    texts += ["", MIXED_TEXT * 3, "x" * 5000, "1" * 1000, "", "\u0661" * 1000]
    assert pieces_of(counted(texts)) == plainly_counted(texts)


def test_counting_real_text() -> None:
    texts = [real_file("tinyshakespeare/input.txt").read_text("utf-8")[:300_000]]
    assert pieces_of(counted(texts)) == plainly_counted(texts)


def test_the_sum_of_two_counters() -> None:
    first, second = [MIXED_TEXT, "only here", "x" * 99], ["only there", MIXED_TEXT[::-1], "y" * 99]
    counter = counted(first)
    counter.add(counted(second))
    assert pieces_of(counter) == plainly_counted([*first, *second])


@given(TEXTS, st.integers(min_value=0, max_value=60), st.integers(min_value=1, max_value=5))
def test_merges_are_those_of_the_others(texts: list[str], number: int, least: int) -> None:
    counts = plainly_counted(texts)
    merges = Learner(counted(texts), number, least).learn()
    assert merges == learn_merges(counts, number, least) == learn_merges_naively(counts, number, least)


@given(TEXTS, TEXTS, st.integers(min_value=0, max_value=30), st.integers(min_value=0, max_value=30), st.integers(1, 5))
def test_given_merges_come_first(before: list[str], texts: list[str], first: int, number: int, least: int) -> None:
    given = learn_merges_naively(plainly_counted(before), first, 1)
    counts = plainly_counted(texts)
    merges = Learner(counted(texts), len(given) + number, least, given).learn()
    assert merges == learn_naively_after(given, counts, len(given) + number, least)
    assert merges == learn_merges(counts, len(given) + number, least, given=given)


@given(st.lists(st.binary(max_size=200), max_size=3), st.integers(min_value=0, max_value=300))
def test_merges_of_random_bytes(texts: list[bytes], number: int) -> None:
    assert Learner(counted(texts), number, 1).learn() == learn_merges_naively(plainly_counted(texts), number, 1)


def test_merges_of_long_runs_and_of_real_text() -> None:
    random = Random(2)
    long_runs = ["a" * 5000, "ab" * 3000, "a" * 4095, "b" + "a" * 700, "".join(random.choices("acgt", k=20_000))]
    for texts in (long_runs, [real_file("tinyshakespeare/input.txt").read_text("utf-8")[:300_000]], [MIXED_TEXT]):
        counts = plainly_counted(texts)
        for least in (1, 2, 50):
            assert Learner(counted(texts), 1500, least).learn() == learn_merges(counts, 1500, least)


def test_full_tables_of_pairs_change_nothing() -> None:
    random = Random(3)
    texts = [random.randbytes(60_000).hex(" ", 6), random_text(random, 20_000), random.randbytes(30_000)]
    counts = plainly_counted(texts)
    for least in (1, 3):
        assert Learner(counted(texts), 6000, least).learn() == learn_merges(counts, 6000, least)


def test_counts_beyond_32_bits() -> None:
    texts = ["the cat sat on the mat, that the rat ate", "abababab aaaaaaa"]
    counter = counted(texts)
    for _ in range(36):
        counter.add(counter)
    counts = {piece: count << 36 for piece, count in plainly_counted(texts).items()}
    assert pieces_of(counter) == counts
    for least in (1, 2 << 36, (2 << 36) + 1, 5 << 36):
        assert Learner(counter, 100, least).learn() == learn_merges(counts, 100, least)


def test_a_bounded_table_keeps_what_is_frequent() -> None:
    random = Random(4)
    names = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 30))) for _ in range(3000)]
    words = [word for name in names for word in (f" {name}", " the", " of")] * 2
    counter = counted(["".join(words)], last_bits=8)
    pieces = pieces_of(counter)
    assert counter.dropped > 0
    assert len(pieces) <= 1 << 7
    assert pieces[b" the"] == pieces[b" of"] == 6000
    assert sum(pieces.values()) + counter.dropped == len(words)
    assert int(counter.counts().sum()) == sum(pieces.values())


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter_module, "BATCH_CHARACTERS", 300)
    random = Random(5)
    texts = [random_text(random) for _ in range(100)] + ["", MIXED_TEXT]
    size = sum(len(text.encode()) for text in texts)
    expected = plainly_counted(texts)
    for threads in (1, 2, 3):
        told: list[int] = []
        counter, seen = count_pieces_compiled(iter(texts), PATTERN, threads, told.append)
        assert pieces_of(counter) == expected
        assert seen == size >= sum(told) > 0
        assert Learner(counter, 300, 2).learn() == learn_merges(expected, 300, 2)
    assert pieces_of(count_pieces_compiled([], PATTERN, 2)[0]) == {}


def test_progress_adds_up() -> None:
    told: list[int] = []
    merges = Learner(counted([MIXED_TEXT * 2]), 400, 2).learn(told.append)
    assert sum(told) == len(merges)


def test_nothing_is_read_behind_the_text() -> None:
    random = Random(6)
    texts = [(unit * size).encode()[-size:] for unit in ("a", "1", "字") for size in (1, 8, 15, 16, 17, 64, 600)]
    for raw in [*texts, *(random_bytes(random, 200) for _ in range(60))]:
        counter = PieceCounter(PATTERN)
        with readable_until(raw) as address:
            memory = np.frombuffer((ctypes.c_uint8 * len(raw)).from_address(address), np.uint8)
            counter.count(Batch(memory, np.array([len(raw)])))
        assert pieces_of(counter) == plainly_counted([raw])


# The whole: documents -> tokenizer.

DOCUMENTS = [
    MIXED_TEXT,
    "",
    "the cat sat on the mat, don't it? " * 40,
    "বাংলা ভাষায় কথা বলি। " * 30,
    "1234567 x_1 = 'y'\n" * 9,
]


def both_ways(
    config: TokenizerConfig, monkeypatch: pytest.MonkeyPatch, start: Tokenizer | None = None
) -> tuple[Tokenizer, TrainingReport]:
    """Learn in both ways, hold them against each other, and return what the compiled one gave."""
    vocabulary = start.vocabulary if start else None
    monkeypatch.setattr(counter_module, "FIRST_BITS", 16)  # the table of clusters does not grow
    monkeypatch.setenv("HOMESPUN_PLAIN", "1")
    plain, plain_report = train_tokenizer(DOCUMENTS, config, start=vocabulary)
    monkeypatch.delenv("HOMESPUN_PLAIN")
    training.load_kernels(vocabulary.pattern if vocabulary else config.pattern)
    with monkeypatch.context() as patch:
        patch.delattr(training, "learn_plainly")
        compiled, report = train_tokenizer(iter(DOCUMENTS), config, start=vocabulary)
    assert compiled.vocabulary == plain.vocabulary
    assert compiled.identity() == plain.identity()
    assert report == plain_report
    return compiled, report


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"vocabulary_size": 300},
        {"vocabulary_size": 600, "minimum_frequency": 5, "threads": 2},
        {"vocabulary_size": 400, "training_bytes": 2000},
        {"vocabulary_size": 260},
    ],
)
def test_both_ways_give_the_same_tokenizer(values: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, report = both_ways(TokenizerConfig(**values), monkeypatch)
    assert report.documents == len(DOCUMENTS)
    assert report.bytes_seen == len("".join(DOCUMENTS).encode())
    assert report.merges == len(tokenizer.merges)


def test_special_and_reserved_tokens_have_the_last_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TokenizerConfig(vocabulary_size=330, special_tokens=("<|user|>",), reserved_tokens=3)
    tokenizer, _ = both_ways(config, monkeypatch)
    assert tokenizer.vocabulary_size == 330
    assert list(tokenizer.special_tokens)[-4:] == ["<|user|>", "<|reserved_0|>", "<|reserved_1|>", "<|reserved_2|>"]
    assert list(tokenizer.special_tokens.values()) == list(range(322, 330))


def test_a_continued_vocabulary_keeps_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = train_tokenizer(["low lower lowest newest widest " * 5], TokenizerConfig(vocabulary_size=275))
    config = TokenizerConfig(vocabulary_size=340, special_tokens=("<|user|>",), reserved_tokens=2)
    more, _ = both_ways(config, monkeypatch, start=first)
    assert more.vocabulary_size == 340
    assert more.merges[: len(first.merges)] == first.merges
    assert all(more.token_bytes(token) == first.token_bytes(token) for token in first.token_ids())
    assert dict(first.special_tokens).items() <= dict(more.special_tokens).items()
    assert [more.special_tokens[name] for name in ("<|user|>", "<|reserved_0|>", "<|reserved_1|>")] == [337, 338, 339]
    assert len(more.merges) > len(first.merges)
