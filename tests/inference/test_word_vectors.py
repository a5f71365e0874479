"""Asking word vectors: neighbours and analogies as by hand, measures as gensim and SciPy have them, a projection."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.inference.word_vectors import evaluate
from homespun.inference.word_vectors.evaluate import (
    all_together,
    ranked,
    score_analogies,
    score_similarity,
    spearman,
)
from homespun.inference.word_vectors.nearest import NearestWords
from homespun.inference.word_vectors.plane import project
from homespun.inference.word_vectors.questions import Analogies, Judgement, read_analogies, read_judgements
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.vectors import WordVectors

WORDS = ("man", "woman", "king", "queen", "boy", "girl", "stone")
ROWS = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1.1], [2, 0.1, 0], [2, 2.1, 0.1], [-1, 0, 0]]
TOGETHER = NearestWords(WordVectors(WORDS, np.array(ROWS, np.float32), None, WordVectorConfig(dimensions=3)))


def many_words(seed: int, words: int = 60, dimensions: int = 6) -> NearestWords:
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((words, dimensions), np.float32)
    return NearestWords(WordVectors(tuple(f"w{number}" for number in range(words)), vectors))


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def test_neighbours_are_the_nearest_by_angle() -> None:
    nearest = many_words(1)
    vectors = nearest.found.vectors
    expected = sorted(range(1, 60), key=lambda place: -cosine(vectors[0], vectors[place]))[:7]
    found = nearest.neighbours("w0", 7)
    assert [neighbour.word for neighbour in found] == [f"w{place}" for place in expected]
    assert found[0].cosine == pytest.approx(cosine(vectors[0], vectors[expected[0]]), abs=1e-6)
    assert len(nearest.neighbours("w0", 1000)) == 59


def test_an_analogy_leaves_its_own_words_out() -> None:
    assert TOGETHER.analogy("man", "king", "woman", 1)[0].word == "queen"
    assert TOGETHER.analogy("man", "woman", "boy", 1)[0].word == "girl"
    assert not {"man", "king", "woman"} & {found.word for found in TOGETHER.analogy("MAN", "King", "woman", 99)}


def test_wrong_questions_are_one_line() -> None:
    with pytest.raises(UsageError, match="did you mean queen"):
        TOGETHER.analogy("man", "king", "queeen")
    with pytest.raises(UsageError, match="at least 1"):
        TOGETHER.neighbours("man", 0)
    lonely = NearestWords(WordVectors(("one",), np.zeros((1, 2), np.float32)))
    assert lonely.neighbours("one") == []


def test_a_zero_vector_is_far_from_everything() -> None:
    vectors = np.array([[0, 0], [1, 0], [0, 2]], np.float32)
    found = NearestWords(WordVectors(("zero", "one", "two"), vectors)).neighbours("zero")
    assert [neighbour.cosine for neighbour in found] == [0, 0]


# Measures.


def test_analogies_are_counted_by_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "BATCH", 2)
    sections = [
        Analogies("family", (("man", "king", "woman", "queen"), ("man", "woman", "king", "queen"),
                             ("Man", "Woman", "Boy", "Girl"), ("man", "woman", "boy", "stone"))),
        Analogies("cities", (("man", "paris", "woman", "rome"),)),
    ]  # fmt: skip
    family, cities = score_analogies(TOGETHER, sections)
    assert (family.asked, family.right, family.unknown, family.accuracy) == (4, 3, 0, 0.75)
    assert (cities.asked, cities.unknown, cities.accuracy) == (0, 1, None)
    total = all_together([family, cities])
    assert (total.asked, total.right, total.unknown) == (4, 3, 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_of_analogies_is_answered_as_one_by_one(seed: int) -> None:
    nearest, chance = many_words(seed, words=12, dimensions=3), np.random.default_rng(seed)
    questions = tuple(tuple(f"w{place}" for place in chance.choice(12, 4, replace=False)) for _ in range(200))
    (score,) = score_analogies(nearest, [Analogies("all", questions)])  # type: ignore[arg-type]
    assert score.right == sum(nearest.analogy(*words[:3], 1)[0].word == words[3] for words in questions)
    assert score.right > 0


def test_similarity_leaves_unknown_pairs_out() -> None:
    judgements = [Judgement("man", "king", 5), Judgement("man", "stone", 0), Judgement("Boy", "man", 9)]
    score = score_similarity(TOGETHER, [*judgements, Judgement("man", "xyz", 3)])
    assert (score.pairs, score.unknown, score.spearman) == (3, 1, pytest.approx(1))
    with pytest.raises(HomespunError, match="of 1 judged pairs only 0"):
        score_similarity(TOGETHER, [Judgement("a", "b", 1)])


values = st.lists(st.integers(-4, 4), min_size=2, max_size=20)


@given(values)
def test_ranks_share_ties(numbers: list[int]) -> None:
    expected = [
        sum(other < number for other in numbers) + (sum(other == number for other in numbers) + 1) / 2
        for number in numbers
    ]
    assert ranked(np.array(numbers)).tolist() == expected


@given(st.lists(st.tuples(st.integers(-4, 4), st.floats(-3, 3)), min_size=3, max_size=20))
@settings(deadline=None)
def test_rank_correlation_is_that_of_scipy(pairs: list[tuple[int, float]]) -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    left, right = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    if len(set(left)) > 1 and len(set(right)) > 1:
        assert spearman(left, right) == pytest.approx(stats.spearmanr(left, right).statistic, abs=1e-9)
    else:
        assert math.isnan(spearman(left, right))


def test_rank_correlation_by_hand() -> None:
    assert spearman(np.array([1, 2, 3, 4]), np.array([10, 20, 30, 40])) == pytest.approx(1)
    assert spearman(np.array([1, 2, 3, 4]), np.array([4, 3, 2, 1])) == pytest.approx(-1)
    # 1 - 6 * sum(d^2) / (n (n^2 - 1)), without ties
    assert spearman(np.array([1, 2, 3, 4, 5]), np.array([2, 1, 4, 3, 5])) == pytest.approx(1 - 6 * 4 / (5 * 24))


def test_gensim_agrees_on_all_measures(tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models", reason="gensim is not installed")
    nearest, chance = many_words(4, words=50, dimensions=4), np.random.default_rng(4)
    theirs = models.KeyedVectors(4)
    theirs.add_vectors(list(nearest.found.words), nearest.found.vectors)
    for neighbour, (word, similarity) in zip(nearest.neighbours("w3"), theirs.most_similar("w3"), strict=True):
        assert (neighbour.word, neighbour.cosine) == (word, pytest.approx(similarity, abs=1e-6))
    expected = theirs.most_similar(positive=["w1", "w2"], negative=["w0"], topn=3)
    assert [found.word for found in nearest.analogy("w0", "w1", "w2", 3)] == [word for word, _ in expected]
    lines = [": some"] + [" ".join(f"w{place}" for place in chance.choice(60, 4, replace=False)) for _ in range(300)]
    (tmp_path / "analogies.txt").write_text("\n".join(lines))
    accuracy, _ = theirs.evaluate_word_analogies(str(tmp_path / "analogies.txt"))
    (score,) = score_analogies(nearest, read_analogies(tmp_path / "analogies.txt"))
    assert score.accuracy == pytest.approx(accuracy) and score.unknown > 0
    pairs = [f"w{chance.integers(55)}\tw{chance.integers(50)}\t{chance.integers(10)}" for _ in range(100)]
    (tmp_path / "pairs.tsv").write_text("\n".join(pairs))
    _, (statistic, _), unknown = theirs.evaluate_word_pairs(str(tmp_path / "pairs.tsv"))
    ours = score_similarity(nearest, read_judgements(tmp_path / "pairs.tsv"))
    assert ours.spearman == pytest.approx(float(statistic), abs=1e-6)
    assert ours.unknown / 100 == pytest.approx(unknown / 100)


# Files.


def test_files_of_questions(tmp_path: Path) -> None:
    path = tmp_path / "q.txt.gz"
    path.write_bytes(gzip.compress(b"# words\n: a b\na b c d\n\ne f g h\n: c\ni j k l\n: a b\nm n o p\n"))
    first, second = read_analogies(path)
    assert first == Analogies("a b", (("a", "b", "c", "d"), ("e", "f", "g", "h"), ("m", "n", "o", "p")))
    assert second.section == "c"
    pairs = tmp_path / "p.tsv"
    pairs.write_text("\ufeff# Word 1\tWord 2\n tiger\tbig cat\t7.35\nold new 1.58\n", "utf-8")
    pairs.write_text("# Word 1\tWord 2\ntiger\tbig cat\t7.35\nold new 1.58\n", "utf-8")
    assert read_judgements(pairs) == [Judgement("tiger", "big cat", 7.35), Judgement("old", "new", 1.58)]


@pytest.mark.parametrize(
    ("read", "content", "words"),
    [
        (read_analogies, b"a b c d\na b c\n", "line 2: not four words"),
        (read_analogies, b": only a section\n", "no analogies"),
        (read_analogies, b"\xff\xfe", "no text in UTF-8"),
        (read_judgements, b"a b 1\na b c\n", "line 2: not two words and a number"),
        (read_judgements, b"a\tb\n", "line 1: not two words and a number"),
        (read_judgements, b"", "no judged pairs"),
    ],
)
def test_damaged_questions_are_one_line(read, content: bytes, words: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "questions"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=words):
        read(path)
    with pytest.raises(HomespunError, match="no such file"):
        read(tmp_path / "absent")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a b c d\n" * 99)[:-9])
    with pytest.raises(DamagedFileError, match="damaged"):
        read(tmp_path / "cut.gz")


# The plane.


def test_the_plane_keeps_what_already_is_flat() -> None:
    chance = np.random.default_rng(2)
    flat = chance.standard_normal((30, 2)) @ np.linalg.qr(chance.standard_normal((7, 7)))[0][:2] + 3
    points, share = project(flat)
    assert share == pytest.approx(1)
    for one, other in ((0, 1), (4, 9), (2, 29)):
        assert np.linalg.norm(points[one] - points[other]) == pytest.approx(np.linalg.norm(flat[one] - flat[other]))


def test_the_first_direction_shows_most() -> None:
    chance = np.random.default_rng(3)
    vectors = chance.standard_normal((200, 3)) * [1, 9, 3]
    points, share = project(vectors)
    assert np.abs(np.corrcoef(points[:, 0], vectors[:, 1])[0, 1]) > 0.99
    assert np.abs(np.corrcoef(points[:, 1], vectors[:, 2])[0, 1]) > 0.99
    assert share == pytest.approx((81 + 9) / 91, abs=0.03)
    assert np.array_equal(project(vectors)[0], points)
    assert (points[np.abs(points).argmax(0), [0, 1]] > 0).all()


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.zeros((3, 4)), np.ones((2, 1)), np.eye(2)])
def test_few_or_equal_vectors(vectors: np.ndarray) -> None:
    points, share = project(vectors)
    assert points.shape == (len(vectors), 2)
    assert np.isfinite(points).all() and 0 <= share <= 1 + 1e-9
