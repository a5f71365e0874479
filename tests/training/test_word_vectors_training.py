"""Learning word vectors: the kernel has the oracle's vectors, one thread is exact, alike words meet."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from homespun.common.errors import HomespunError
from homespun.tokenizer.compiled.machine_code import NoMachineCode, code_path, load_kernel, source_hash
from homespun.training.word_vectors import train as train_file
from homespun.training.word_vectors.compiled import learner as learner_file
from homespun.training.word_vectors.compiled.learner import KERNELS, MODULE, CompiledLearner
from homespun.training.word_vectors.compiled.sigmoid import LIMIT, fraction_of_tanh
from homespun.training.word_vectors.passages import Passages, WordCounter
from homespun.training.word_vectors.plain import PlainLearner
from homespun.training.word_vectors.sampling import draw_table, keep_thresholds
from homespun.training.word_vectors.settings import METHODS, WordVectorConfig
from homespun.training.word_vectors.tables import Tables, make_tables
from homespun.training.word_vectors.train import Chunk, chunks_of, learn_all, make_learners, train_word_vectors
from homespun.training.word_vectors.vectors import WordVectors
from homespun.training.word_vectors.vocabulary import WordVocabulary

Text = tuple[Passages, WordVocabulary]
ANIMALS, PLACES = ("cat", "dog", "cow", "hen"), ("house", "garden", "field", "barn")


def some_text(folder: Path, sentences: int, seed: int = 3) -> Text:
    """Sentences in which animals and places have company of their own."""
    chance = np.random.default_rng(seed)
    with WordCounter(folder) as counter:
        for _ in range(sentences):
            animal, place = chance.choice(ANIMALS), chance.choice(PLACES)
            counter.add(f"the {animal} eats and sleeps while rain wets the {place} wall and roof".split())
        return counter.finish(1)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return some_text(tmp_path_factory.mktemp("small"), 60)


@pytest.fixture(scope="module")
def larger_text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return some_text(tmp_path_factory.mktemp("larger"), 4000)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOMESPUN_PLAIN", "1")
    yield


def parts(text: Text, config: WordVectorConfig) -> tuple[Passages, Tables, np.ndarray, np.ndarray, WordVectorConfig]:
    passages, vocabulary = text
    tables = make_tables(len(vocabulary), config.dimensions, config.seed)
    counts = vocabulary.counts
    return passages, tables, keep_thresholds(counts, config.subsampling), draw_table(counts), config


CONFIGS = [
    WordVectorConfig(method=method, dimensions=dimensions, window=window, negatives=negatives, subsampling=subsampling)
    for method in METHODS
    for dimensions, window, negatives, subsampling in ((5, 2, 1, 0.0), (16, 5, 5, 0.02), (37, 12, 20, 0.005))
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.method}-{config.dimensions}")
def test_the_kernel_has_the_vectors_of_the_oracle(text: Text, config: WordVectorConfig) -> None:
    plain_parts, compiled_parts = parts(text, config), parts(text, config)
    slow, fast = PlainLearner(*plain_parts), CompiledLearner(*compiled_parts)
    for chunk in chunks_of(text[0], config):
        for learner in (slow, fast):
            learner.learn(chunk.first, chunk.end, chunk.state, 4 * chunk.rate)
    expected, found = plain_parts[1], compiled_parts[1]
    assert np.abs(expected.learned).max() > 0.1  # much more than what they began with
    np.testing.assert_allclose(found.learned, expected.learned, atol=2e-4)
    np.testing.assert_allclose(found.learned_outputs, expected.learned_outputs, atol=2e-4)
    for table in (found.vectors, found.outputs):
        assert not table[:, config.dimensions :].any()


@pytest.mark.parametrize("method", METHODS)
def test_training_is_the_same_plain_and_compiled(text: Text, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load_kernel(KERNELS[method])
    config = WordVectorConfig(method=method, dimensions=10, threads=1, epochs=3)  # type: ignore[arg-type]
    fast = train_word_vectors(*text, config)
    monkeypatch.setenv("HOMESPUN_PLAIN", "1")
    slow = train_word_vectors(*text, config)
    np.testing.assert_allclose(fast.vectors, slow.vectors, atol=1e-4)
    assert fast.words == slow.words
    assert fast.config == slow.config == config


def test_one_thread_and_a_seed_give_the_same_bits(larger_text: Text) -> None:
    def learned(seed: int) -> np.ndarray:
        return train_word_vectors(*larger_text, WordVectorConfig(dimensions=8, threads=1, seed=seed)).vectors

    assert np.array_equal(learned(1), learned(1))
    assert not np.allclose(learned(1), learned(2), atol=1e-3)


def alike(found: WordVectors, group: tuple[str, ...]) -> float:
    """The mean cosine between the words of a group."""
    rows = np.array([found.vectors[found.must_find(word)] for word in group])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return float((rows @ rows.T).mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threads", [1, 3])
def test_words_in_like_company_become_alike(larger_text: Text, method: str, threads: int) -> None:
    config = WordVectorConfig(method=method, dimensions=12, threads=threads, window=4, learning_rate=0.05)  # type: ignore[arg-type]
    told: list[int] = []
    found = train_word_vectors(*larger_text, config, told.append)
    assert sum(told) == larger_text[0].words * config.epochs
    assert alike(found, ANIMALS) > 0.8 and alike(found, PLACES) > 0.8
    assert alike(found, ANIMALS + PLACES) < min(alike(found, ANIMALS), alike(found, PLACES)) - 0.1


def test_the_rate_falls_in_a_straight_line_and_chunks_cover_the_text(
    larger_text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_file, "CHUNK_WORDS", 1000)
    passages, _ = larger_text
    config = WordVectorConfig(epochs=3, learning_rate=0.5)
    chunks = list(chunks_of(passages, config))
    done = 0
    for chunk in chunks:
        assert chunk.rate == pytest.approx(max(0.5 * (1 - done / (3 * passages.words)), 0.5e-4))
        assert 0 < chunk.words < 1100
        done += chunk.words
    assert done == 3 * passages.words
    first_epoch = chunks[: len(chunks) // 3]
    assert [chunk.first for chunk in first_epoch] == [0, *(chunk.end for chunk in first_epoch[:-1])]
    assert first_epoch[-1].end == len(passages)
    assert len({chunk.state for chunk in chunks}) == len(chunks)


def test_vectors_that_leave_the_floats_are_an_error(text: Text, plain: None) -> None:
    passages, vocabulary = text
    config = WordVectorConfig(dimensions=3, learning_rate=10.0, epochs=1)
    tables = make_tables(len(vocabulary), 3, 1)
    tables.vectors[0, 0] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_file, "make_tables", lambda *_: tables)
        with pytest.raises(HomespunError, match="--learning-rate below 10"):
            train_word_vectors(passages, vocabulary, config)


def test_the_kernel_survives_what_is_no_number(text: Text) -> None:
    config = WordVectorConfig(dimensions=5)
    all_parts = parts(text, config)
    all_parts[1].vectors[:] = np.nan
    CompiledLearner(*all_parts).learn(0, len(text[0]), 1, 0.1)
    assert np.isnan(all_parts[1].vectors).any()


def test_the_sigmoid_is_fine_enough() -> None:
    numerator, denominator = fraction_of_tanh()
    values = np.linspace(-40, 40, 100_001, dtype=np.float32)
    half = np.clip(values / 2, -np.float32(LIMIT), np.float32(LIMIT))
    tanh = half * np.polyval(numerator, half * half) / np.polyval(denominator, half * half)
    assert tanh.dtype == np.float32
    exact = 1 / (1 + np.exp(-values.astype(np.float64)))
    assert np.abs(0.5 + 0.5 * tanh - exact).max() < 3e-6


def test_small_texts_do_not_wait_for_a_compiler(text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path))
    config = WordVectorConfig(dimensions=3)
    (learner,) = make_learners(*text, make_tables(len(text[1]), 3, 1), config)
    assert isinstance(learner, PlainLearner)
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_numpy_does_it(
    text: Text, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise NoMachineCode("numba does not work here")

    monkeypatch.setattr(learner_file, "load_kernel", missing)
    monkeypatch.setattr(train_file, "WORTH_COMPILING", 0)
    found = train_word_vectors(*text, WordVectorConfig(dimensions=3, epochs=1, threads=2))
    assert np.isfinite(found.vectors).all()
    assert found.config is not None and found.config.threads == 1
    assert capsys.readouterr().err.count("plain Python") == 1


def test_machine_code_follows_the_source_of_its_room() -> None:
    assert source_hash(MODULE) in code_path(KERNELS["cbow"]).name
    assert source_hash(MODULE) not in code_path("rehash").name


class Failing:
    """A learner that fails at its second chunk."""

    def __init__(self) -> None:
        self.calls = 0

    def learn(self, first: int, end: int, state: int, rate: float) -> None:
        self.calls += 1
        if self.calls == 2:
            raise ValueError("no more")


def test_a_failing_thread_stops_the_others() -> None:
    chunks = iter([Chunk(0, 1, 1, 0, 0.1)] * 100_000)
    learners = [Failing(), Failing()]
    with pytest.raises(ValueError, match="no more"):
        learn_all(learners, chunks, lambda words: None)
    assert next(chunks, None) is not None


def test_an_interruption_stops_all_threads() -> None:
    class Patient:
        def learn(self, first: int, end: int, state: int, rate: float) -> None: ...

    def interrupt(words: int) -> None:
        raise KeyboardInterrupt

    chunks = iter([Chunk(0, 1, 1, 0, 0.1)] * 10_000_000)
    with pytest.raises(KeyboardInterrupt):
        learn_all([Patient(), Patient()], chunks, interrupt)
    assert next(chunks, None) is not None
