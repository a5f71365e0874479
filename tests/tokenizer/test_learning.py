"""Training: the same merges as the oracle, an even sample, bounded memory, and reports that say what happened."""

import random
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.common.errors import HomespunError, UsageError
from homespun.tokenizer.naive import learn_merges_naively
from homespun.tokenizer.plain_training import count_pieces, learn_merges
from homespun.tokenizer.sampling import sample_evenly
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.split import Splitter
from homespun.tokenizer.training import train_tokenizer

# Few letters, so that pairs overlap and counts tie all the time.
PIECES = st.dictionaries(
    st.text("abc", min_size=1, max_size=24).map(str.encode), st.integers(min_value=1, max_value=5), max_size=12
)


@given(PIECES, st.integers(min_value=0, max_value=60), st.integers(min_value=1, max_value=4))
def test_fast_trainer_learns_what_the_naive_one_learns(counts: dict[bytes, int], number: int, minimum: int) -> None:
    assert learn_merges(counts, number, minimum) == learn_merges_naively(counts, number, minimum)


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=400))
def test_fast_trainer_on_random_bytes(raw: bytes, number: int) -> None:
    assert learn_merges({raw: 1}, number, 1) == learn_merges_naively({raw: 1}, number, 1)


def test_fast_trainer_on_real_text(shakespeare: str, mixed_text: str) -> None:
    counts, dropped = count_pieces([shakespeare[:80_000], mixed_text * 5], Splitter("homespun"))
    assert dropped == 0
    assert learn_merges(counts, 250) == learn_merges_naively(counts, 250)


def test_ties_take_the_smallest_ids() -> None:
    assert learn_merges({b"cd": 3, b"ab": 3, b"ba": 3}, 2) == [(97, 98), (98, 97)]


def test_overlapping_pairs_merge_from_the_left() -> None:
    assert learn_merges({b"aaa": 2}, 9) == [(97, 97), (256, 97)]


def test_the_text_may_support_fewer_tokens_than_asked_for() -> None:
    tokenizer, report = train_tokenizer(["low lower lowest " * 3], TokenizerConfig(vocabulary_size=4096))
    assert tokenizer.vocabulary_size == report.vocabulary_size < 300
    assert report.notes == (f"the text supports {report.vocabulary_size} of 4,096 tokens",)
    assert report.merges == len(tokenizer.merges)


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_learning_from_nothing_is_refused(documents: list[str]) -> None:
    with pytest.raises(HomespunError, match="there is no text to learn a vocabulary from"):
        train_tokenizer(documents, TokenizerConfig())


def test_minimum_frequency_is_respected() -> None:
    counts = {b"ab": 5, b"cd": 4, b"ef": 1}
    assert learn_merges(counts, 9, 5) == [(97, 98)]
    assert len(learn_merges(counts, 9, 1)) == 3


def test_progress_counts_the_merges() -> None:
    seen: list[int] = []
    tokenizer, _ = train_tokenizer(["the cat sat on the mat " * 9], TokenizerConfig(vocabulary_size=270), seen.append)
    assert sum(seen) == len(tokenizer.merges) == 10


def test_training_is_the_same_every_time(mixed_text: str) -> None:
    documents = [mixed_text[start:] for start in range(0, len(mixed_text), 7)]
    config = TokenizerConfig(vocabulary_size=400, training_bytes=5_000)
    assert train_tokenizer(documents, config)[0].merges == train_tokenizer(iter(documents), config)[0].merges


def test_long_runs_train_in_linear_time() -> None:
    letters = random.Random(0).choices("acgt", k=200_000)
    started = time.process_time()
    merges = learn_merges({"".join(letters).encode(): 1, b"a" * 100_000: 1}, 2_000)
    assert len(merges) == 2_000
    assert time.process_time() - started < 8  # measured: 0.9 s; touching every piece for every merge takes minutes


def test_the_table_of_pieces_is_bounded() -> None:
    texts = [" ".join(f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(400)) + " the" * 50] * 2
    counts, dropped = count_pieces(texts, Splitter("homespun"), largest_table=100)
    assert counts[b" the"] == 100
    assert len(counts) <= 401
    assert dropped > 300


def test_counting_adds_up() -> None:
    counts, _ = count_pieces(["one two two 1234567", "two"], Splitter("homespun"))
    assert counts == Counter({b" two": 2, b" ": 1, b"one": 1, b"two": 1, b"1": 1, b"234": 1, b"567": 1})


def test_sample_keeps_everything_that_fits() -> None:
    documents = ["short", "", "বাংলা", "text " * 30_000]
    sample = sample_evenly(documents, 1_000_000, Splitter("homespun"))
    assert b"".join(sample.passages) == "".join(documents).encode()
    assert sample.bytes_kept == sample.bytes_seen == len("".join(documents).encode())
    assert sample.documents == 4


def test_sample_is_even_over_a_mixture_that_takes_turns() -> None:
    documents = (("a" if place % 2 else "b") * 100 for place in range(20_000))
    sample = sample_evenly(documents, 200_000, Splitter("homespun"))
    assert 199_900 <= sample.bytes_kept <= 200_000
    assert sample.bytes_seen == 2_000_000
    kept = Counter(passage[:1] for passage in sample.passages)
    assert 850 < kept[b"a"] < 1150  # 1000 expected, standard deviation about 22
    assert len(sample.passages) == 2000


def test_sample_of_one_long_document_comes_from_all_of_it() -> None:
    book = " ".join(f"w{place:07d}x" for place in range(200_000))
    sample = sample_evenly([book], 400_000, Splitter("homespun"))
    assert 300_000 < sample.bytes_kept <= 400_000
    places = [int(passage.split()[1][1:8]) for passage in sample.passages]
    assert min(places) < 100_000 < max(places)


def test_sample_never_exceeds_its_budget() -> None:
    sample = sample_evenly(["1" * 5_000], 100, Splitter("homespun"))
    assert sample.bytes_kept == len(b"".join(sample.passages)) == 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocabulary_size": 100}, r"tokenizer\.vocabulary_size 100: at least 260 \(256 bytes and 4 special tokens\)"),
        ({"vocabulary_size": 10**9}, r"tokenizer\.vocabulary_size 1000000000: at most 1000000"),
        ({"vocabulary_size": 4096.0}, r"tokenizer\.vocabulary_size 4096\.0: must be a whole number"),
        ({"vocabulary_size": True}, r"tokenizer\.vocabulary_size True: must be a whole number"),
        ({"training_bytes": -1}, r"tokenizer\.training_bytes -1: at least 0"),
        ({"special_tokens": ("",)}, r"tokenizer\.special_tokens '': write it in one word"),
        ({"special_tokens": ("<|a b|>",)}, r"tokenizer\.special_tokens '<\|a b\|>': write it in one word"),
        ({"special_tokens": ("<|a|>", "<|a|>")}, r"tokenizer\.special_tokens '<\|a\|>': it is there already"),
        ({"special_tokens": ("<|pad|>",)}, r"tokenizer\.special_tokens '<\|pad\|>': it is there already"),
        ({"vocabulary_size": 264, "reserved_tokens": 9}, r"at least 269 \(256 bytes and 13 special tokens\)"),
        ({"minimum_frequency": 0}, r"tokenizer\.minimum_frequency 0: at least 1"),
        ({"pattern": "gpt5"}, r"tokenizer\.pattern 'gpt5': choose one of homespun, gpt2, cl100k, o200k"),
    ],
)
def test_bad_settings_name_their_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TokenizerConfig(**values)  # type: ignore[arg-type]
