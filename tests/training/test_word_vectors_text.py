"""From text to word ids: words of all scripts, counting in one pass, what is drawn and left out."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import HomespunError, UsageError
from homespun.training.word_vectors import passages as passages_file
from homespun.training.word_vectors.passages import Passages, WordCounter
from homespun.training.word_vectors.randomness import DRAW_BITS, Draws, first_state
from homespun.training.word_vectors.reading import read_sources
from homespun.training.word_vectors.sampling import ALL_DRAWS, draw_table, draw_word, keep_thresholds
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.vocabulary import WordVocabulary
from homespun.training.word_vectors.words import WORD_EXPRESSION, find_words

# Words.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat, the hat!", ["the", "cat", "the", "hat"]),
        ("don't well-known dog's", ["don", "t", "well", "known", "dog", "s"]),
        ("In 2024 H2O costs 1,50 €", ["in", "2024", "h2o", "costs", "1", "50"]),
        ("বাংলা ভাষায় কথা বলি।", ["বাংলা", "ভাষায়", "কথা", "বলি"]),
        ("हिन्दी में क्षत्रिय ज्ञान", ["हिन्दी", "में", "क्षत्रिय", "ज्ञान"]),
        ("কর্‌ম ক্‍ষ", ["কর্‌ম", "ক্‍ষ"]),
        ("Ёлка и ёж; Straße, ÉTÉ e\u0301te\u0301", ["ёлка", "и", "ёж", "straße", "été", "e\u0301te\u0301"]),
        ("सन् २०२४", ["सन्", "२०२४"]),
        ("مرحبا، بالعالم؟ שָׁלוֹם", ["مرحبا", "بالعالم", "שָׁלוֹם"]),
        ("\u0301 !? \u200d 👩‍👩‍👧", []),
        ("", []),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    assert find_words(text) == words


def test_case_is_kept_if_asked() -> None:
    assert find_words("The Cat", lower_case=False) == ["The", "Cat"]
    assert find_words("İSTANBUL Å") == ["i\u0307stanbul", "å"]


# Assigned in the Unicode of every Python that runs us: later versions do not change what these characters are.
old_characters = st.characters(exclude_categories=["Cn", "Cs"])


@given(st.text(old_characters) | st.text("aZ9é\u0301ক্\u200dা '-_\n\u200c👩"))
@settings(deadline=None)
def test_words_as_the_regex_library_finds_them(text: str) -> None:
    assert find_words(text) == regex.findall(WORD_EXPRESSION, text.lower())


# Passages.


def count_all(texts: list[list[str]], folder: Path, minimum: int, **options: int) -> tuple[Passages, WordVocabulary]:
    with WordCounter(folder, **options) as counter:
        for text in texts:
            counter.add(text)
        return counter.finish(minimum)


def words_of(found: Passages, vocabulary: WordVocabulary) -> list[list[str]]:
    return [[vocabulary.words[word] for word in found.passage(number)] for number in range(len(found))]


texts_of_words = st.lists(st.lists(st.sampled_from(list("abcdefg")), max_size=12), max_size=12)


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
@given(texts=texts_of_words, minimum=st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_one_pass_is_the_same_as_counting_first(
    tmp_path_factory: pytest.TempPathFactory, block: int, texts: list[list[str]], minimum: int
) -> None:
    counts = Counter(word for text in texts for word in text)
    kept = sorted((word for word in counts if counts[word] >= minimum), key=lambda word: (-counts[word], word))
    folder = tmp_path_factory.mktemp("ids")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passages_file, "BLOCK_WORDS", block)
        if len(kept) < 2:
            with pytest.raises(HomespunError, match=r"no words|too few words"):
                count_all(texts, folder, minimum)
            return
        found, vocabulary = count_all(texts, folder, minimum)
    assert list(vocabulary.words) == kept
    assert vocabulary.counts.tolist() == [counts[word] for word in kept]
    assert vocabulary.total == found.words
    expected = [[word for word in text if word in kept] for text in texts]
    assert words_of(found, vocabulary) == [text for text in expected if text]
    assert [path.name for path in folder.iterdir()] == ["ids.bin"]


def test_long_texts_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passages_file, "LONGEST_PASSAGE", 4)
    found, _ = count_all([["a", "b"] * 5, ["a"] * 4], tmp_path, 1)
    assert found.ends.tolist() == [4, 8, 10, 14]


def test_the_rarest_words_are_forgotten_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages_file, "BLOCK_WORDS", 10)
    texts = [
        ["often", "also", "often", "also", *(f"rare{number}x{place}" for place in range(6))] for number in range(9)
    ]
    found, vocabulary = count_all(texts, tmp_path, 1, most_distinct=4)
    assert vocabulary.words[:2] == ("also", "often")
    assert len(vocabulary) <= 4
    assert vocabulary.counts.tolist()[:2] == [18, 18]
    assert found.words == vocabulary.total


def test_too_little_text_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match="no words"):
        count_all([[]], tmp_path, 1)
    with pytest.raises(HomespunError, match=r"too few words occur 5 times \(the most frequent, 'b', 3\)"):
        count_all([["b", "a", "b", "b"]], tmp_path, 5)


def test_sources_are_read_with_the_readers_of_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("Der Hund bellt. " * 3, "utf-8")
    (tmp_path / "texts" / "b.jsonl").write_text('{"text": "ein Hund"}\n{"text": "ein Hund"}\n{"text": "ein"}\n')
    (tmp_path / "ids").mkdir()
    told: list[int] = []
    found, vocabulary = read_sources(
        [str(tmp_path / "texts")], tmp_path / "ids", WordVectorConfig(minimum_count=2), told.append
    )
    # The second "ein Hund" is the same document once more.
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == {
        "hund": 4, "bellt": 3, "der": 3, "ein": 2,
    }  # fmt: skip
    assert found.ends.tolist() == [9, 11, 12]
    assert sum(told) == sum(path.stat().st_size for path in (tmp_path / "texts").iterdir())
    with pytest.raises(UsageError, match="does not exist"):
        read_sources([str(tmp_path / "absent")], tmp_path / "ids", WordVectorConfig())
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(HomespunError, match="binary"):
        read_sources([str(tmp_path / "binary.txt")], tmp_path / "ids", WordVectorConfig())


# Draws.


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=40), st.sampled_from([0.0, 0.75, 1.0]))
@settings(deadline=None)
def test_the_alias_table_draws_by_the_power_of_the_counts(counts: list[int], power: float) -> None:
    table = draw_table(np.array(counts, np.int64), power).astype(np.int64)
    chances = table[:, 0] / ALL_DRAWS / len(counts)
    for own, other in table:
        chances[other] += (ALL_DRAWS - own) / ALL_DRAWS / len(counts)
    weights = np.array(counts, np.float64) ** power
    np.testing.assert_allclose(chances, weights / weights.sum(), atol=1e-8)


def test_what_is_drawn_follows_the_table() -> None:
    counts = np.array([1000, 300, 10, 1])
    draws, table = Draws(7), draw_table(counts)
    drawn = np.bincount([draw_word(table, draws) for _ in range(20_000)], minlength=4)
    expected = counts**0.75 / (counts**0.75).sum() * 20_000
    assert (np.abs(drawn - expected) < 5 * np.sqrt(expected)).all()


def test_frequent_words_are_thinned_out_by_the_published_formula() -> None:
    counts = np.array([100_000, 5_000, 1_000, 100, 3], np.int64)
    share = keep_thresholds(counts, 1e-3) / ALL_DRAWS
    threshold = 1e-3 * counts.sum()
    expected = np.minimum((np.sqrt(counts / threshold) + 1) * threshold / counts, 1)
    np.testing.assert_allclose(share, expected, atol=1e-9)
    assert share[0] < 0.1
    assert share[-1] == 1
    assert (keep_thresholds(counts, 0) == ALL_DRAWS).all()


def test_numbers_are_even_and_streams_differ() -> None:
    draws = Draws(first_state(1, 0, 0))
    numbers = np.array([draws.draw() for _ in range(20_000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1 << DRAW_BITS
    tenths = np.bincount(numbers * 10 >> DRAW_BITS, minlength=10)
    assert (np.abs(tenths - 2000) < 5 * np.sqrt(2000)).all()
    assert {Draws(3).below(5) for _ in range(1)} <= set(range(5))
    states = {first_state(seed, epoch, chunk) for seed in range(9) for epoch in range(9) for chunk in range(9)}
    assert len(states) == 9**3
    assert all(-(1 << 63) <= state < 1 << 63 for state in states)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "glove"}, {"dimensions": 0}, {"window": 0}, {"negatives": 0}, {"epochs": 0}, {"minimum_count": 0},
        {"threads": -1}, {"seed": -1}, {"subsampling": -0.1}, {"subsampling": float("nan")}, {"learning_rate": -1.0},
        {"dimensions": 2.5},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        WordVectorConfig(**wrong)  # type: ignore[arg-type]
