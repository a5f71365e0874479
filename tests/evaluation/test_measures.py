"""Measures against their oracles, on a thousand random cases each, to 1e-9."""

import random
import string
import unicodedata
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.evaluation.bleu import bleu, bleu_row
from homespun.evaluation.chrf import chrf, chrf_row
from homespun.evaluation.classes import RANGES, classification, confusion
from homespun.evaluation.kinds.generation import measures_of
from homespun.evaluation.overlap import overlaps
from homespun.evaluation.rouge import longest_common, rouge
from homespun.evaluation.variety import distinct, repeated, shared
from homespun.evaluation.words import words_of

CASES = 1000
WORDS = ["the", "a", "cat", "dog", "sat", "on", "mat.", "The,", "it's", "3,5", "1.5", "x-y", "12-", "&quot;no&quot;"]
WORDS += ["«да»", "мир,", "नमस्ते", "বাংলা", "ভাষা।", "日本", "!", "(hi)", "e.g.", "<skipped>"]


def texts(chance: random.Random, count: int, words: list[str], longest: int) -> list[str]:
    return [" ".join(chance.choices(words, k=chance.randint(0, longest))) for _ in range(count)]


@pytest.mark.parametrize("references", [1, 3])
def test_bleu_and_chrf_are_those_of_sacrebleu(references: int) -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    chance = random.Random(references)
    for case in range(CASES // 2):
        count = chance.randint(1, 5)
        longest = chance.choice((3, 12))
        told = texts(chance, count, WORDS, longest)
        others = [texts(chance, references, WORDS, longest) for _ in range(count)]
        if case % 3 == 0:  # something in common
            others[0][0] = told[0] + " " + others[0][0]
        columns = [list(column) for column in zip(*others, strict=True)]
        ours = bleu(np.sum([bleu_row(*pair) for pair in zip(told, others, strict=True)], axis=0))
        assert float(ours) == pytest.approx(BLEU(force=True).corpus_score(told, columns).score, abs=1e-9)
        ours = chrf(np.sum([chrf_row(*pair) for pair in zip(told, others, strict=True)], axis=0))
        assert float(ours) == pytest.approx(CHRF().corpus_score(told, columns).score, abs=1e-9)


def test_bleu_of_many_sums_at_once_is_that_of_each() -> None:
    rows = np.array([bleu_row(a, [b]) for a, b in (("the cat sat on a mat", "the cat sat on the mat"), ("", "a"))])
    sums = np.stack([rows[0], rows[1], rows.sum(0), 0 * rows[0]])
    assert bleu(sums).tolist() == [float(bleu(one)) for one in sums]
    assert bleu(sums)[0] > 50 and bleu(sums)[1] == bleu(sums)[3] == 0
    assert chrf(np.zeros((2, 18))).tolist() == [0.0, 0.0]
    assert float(bleu(np.array(bleu_row("a b c d e", ["a b c d e"])))) == pytest.approx(100.0)


class OurWords:
    """A tokenizer for ``rouge-score``, whose own one drops every letter that is not Latin."""

    def tokenize(self, text: str) -> list[str]:
        return words_of(text)


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        (None, ["the", "The", "cat,", "dog", "it's", "3.5", "x-y", "a", "mat!", "…"]),
        (OurWords(), ["мир", "Мир!", "и", "বাংলা", "ভাষা।", "আমি", "नमस्ते", "the", "3.5"]),
    ],
)
def test_rouge_is_that_of_rouge_score(tokenizer: OurWords | None, words: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
        oracle = scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=tokenizer)
    chance = random.Random(5)
    for _ in range(CASES):
        told, *references = texts(chance, chance.randint(2, 4), words, 9)
        expected = oracle.score_multi(references, told)
        assert rouge(told, references) == pytest.approx([expected[name].fmeasure for name in expected], abs=1e-9)


def test_rouge_keeps_words_of_every_script() -> None:
    assert words_of("Привет, мир! নমস্কার हिन्दी x_y") == ["привет", "мир", "নমস্কার", "हिन्दी", "x", "y"]
    assert rouge("नमस्ते दुनिया", ["नमस्ते दुनिया"]) == (1.0, 1.0, 1.0)
    assert rouge("", ["a"]) == rouge("a", ["!"]) == (0.0, 0.0, 0.0)


@settings(deadline=None)
@given(first=st.text("abc", max_size=6), second=st.text("abc", max_size=6))
def test_the_longest_common_sequence_is_the_longest_of_all(first: str, second: str) -> None:
    def every(text: str) -> set[str]:
        return {"".join(c for c, bit in zip(text, f"{n:0{len(text)}b}", strict=False) if bit == "1")
                for n in range(2 ** len(text))} if text else {""}  # fmt: skip

    assert longest_common(first, second) == max(map(len, every(first) & every(second)))


def test_classification_is_that_of_scikit_learn() -> None:
    from sklearn import config_context

    chance = np.random.default_rng(3)
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore")  # of classes that are told and never true
        for case in range(CASES):
            classes, count = int(chance.integers(2, 6)), int(chance.integers(1, 40))
            truth = chance.integers(0, int(chance.integers(1, classes + 1)), count)  # some classes may be missing
            probabilities = chance.dirichlet(np.full(classes, 0.5), count)
            if case % 4 == 0:
                probabilities[np.arange(count), truth] += 1
                probabilities /= probabilities.sum(-1, keepdims=True)
            found = {measure.name: measure.value for measure in classification(truth.tolist(), probabilities)}
            matrix, expected = by_scikit_learn(truth, probabilities)
            assert found == pytest.approx(expected, abs=1e-9)
            assert found["calibration error"] == pytest.approx(naive_calibration(truth, probabilities), abs=1e-9)
            assert (confusion(truth.tolist(), probabilities.argmax(-1).tolist(), classes) == matrix).all()


def by_scikit_learn(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """The confusion matrix and all measures."""
    from sklearn import metrics
    from sklearn.calibration import calibration_curve

    told, confidence = probabilities.argmax(-1), probabilities.max(-1)
    classes = range(probabilities.shape[-1])
    true, sure = calibration_curve(truth == told, confidence, n_bins=RANGES)
    inside = np.bincount(np.digitize(confidence, np.linspace(0, 1, RANGES + 1)[1:-1], right=True))
    _, recall, f1, there = metrics.precision_recall_fscore_support(truth, told, zero_division=0)  # all at once: quicker
    return metrics.confusion_matrix(truth, told, labels=classes), {
        "accuracy": (truth == told).mean(),
        "balanced accuracy": recall[there > 0].mean(),
        "macro F1": f1.mean(),
        "Brier score": metrics.brier_score_loss(truth, probabilities, labels=classes, scale_by_half=False),
        "calibration error": float((inside[inside > 0] * abs(true - sure)).sum() / len(truth)),
    }


def naive_calibration(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Range by range, as it is defined."""
    confidence, right = probabilities.max(-1), probabilities.argmax(-1) == truth
    total = 0.0
    for number in range(RANGES):
        inside = (confidence > number / RANGES) & (confidence <= (number + 1) / RANGES)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def test_generation_measures_of_known_texts() -> None:
    found = {one.name: one.value for one in measures_of([" 12\n", "no", "a  b"], [["12"], ["yes", "maybe"], ["a b"]])}
    assert found["exact match"] == pytest.approx(2 / 3)
    assert found["ROUGE-1"] == pytest.approx(2 / 3) and found["ROUGE-2"] == pytest.approx(1 / 3)
    assert set(found) == {"exact match", "BLEU", "chrF", "ROUGE-1", "ROUGE-2", "ROUGE-L"}


def test_variety() -> None:
    assert distinct("a b a b", 1) == 0.5 and distinct("a b a b", 2) == pytest.approx(2 / 3)
    assert repeated("a b c d a b c d") == pytest.approx(1 / 5) and repeated("a b c") == 0.0
    assert shared(["a b c d e", "x a b c d", "q w e r"]) == [0.5, 0.5, 0.0]
    assert shared(["a b c d a b c d"]) == [0.0]


def naive_words(text: str) -> list[str]:
    """Character by character."""
    found, word = [], ""
    for character in text.lower() + " ":
        if unicodedata.category(character)[0] in "LMN":
            word += character
        elif word:
            found, word = [*found, word], ""
    return found


def test_exact_match_and_variety_are_those_of_the_naive_way() -> None:
    chance = random.Random(7)
    for _ in range(CASES):
        told = texts(chance, 2, WORDS, 9)
        others = [[chance.choice((text, f" {text}\n", text.upper())), *texts(chance, 1, WORDS, 3)] for text in told]
        found = {one.name: one.value for one in measures_of(told, others)}
        same = [any(text.split() == other.split() for other in some) for text, some in zip(told, others, strict=True)]
        assert found["exact match"] == pytest.approx(sum(same) / 2, abs=1e-9)
        for text in told:
            words = naive_words(text)
            for size in (1, 2, 4):
                runs = [" ".join(words[begin : begin + size]) for begin in range(len(words) - size + 1)]
                share = len(dict.fromkeys(runs)) / len(runs) if runs else 1.0
                assert distinct(text, size) == pytest.approx(share, abs=1e-9)
                assert size < 4 or repeated(text) == pytest.approx(1 - share, abs=1e-9)


def naive_overlap(test: str, training: list[str], size: int) -> float:
    """Runs as strings, all of them in memory."""
    runs = lambda text: {tuple(words_of(text)[i : i + size]) for i in range(len(words_of(text)) - size + 1)}  # noqa: E731
    own, all_of_them = runs(test), set().union(*map(runs, training))
    return len(own & all_of_them) / len(own) if own else 0.0


@settings(deadline=None, max_examples=100)
@given(
    tests=st.lists(st.text("ab ", max_size=30), min_size=1, max_size=4),
    training=st.lists(st.text("ab ", max_size=60), max_size=4),
    size=st.integers(1, 4),
)
def test_overlap_is_that_of_sets_of_runs(tests: list[str], training: list[str], size: int) -> None:
    found = overlaps(tests, training, size)
    assert [one.share for one in found] == [naive_overlap(test, training, size) for test in tests]


def test_overlap_holds_none_of_the_training_text() -> None:
    """A training text of many megabytes streams by; what is held are the runs of the test."""
    import tracemalloc

    chance = random.Random(1)

    def training() -> object:
        for _ in range(80):
            yield " ".join("".join(chance.choices(string.ascii_lowercase, k=6)) for _ in range(500))
        yield "it was the best of times it was the worst of times"

    tracemalloc.start()
    (one,) = overlaps(["He wrote: It was the best of times, it was the worst."], training(), 8)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert one.found == 3 and one.example == "it was the best of times it was"
    assert peak < 1e6
