"""The traditional ways learn what is easy, do not look at the test, and take words of every script whole."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.finetuning.baseline import BASELINES
from homespun.finetuning.by_hand import HandMade, trigger_words
from homespun.finetuning.figures import MODEL, figures_of
from homespun.finetuning.words import words_of
from homespun.labelled.storage import LabelledSplit


def spam_and_ham(count: int, seed: int) -> LabelledSplit:
    """Spam has prizes, numbers and exclamation marks; a few of each kind are mislabelled."""
    chance = np.random.default_rng(seed)
    words = [f"word{number}" for number in range(50)]
    texts, classes = [], []
    for number in range(count):
        is_spam = number % 3 == 0
        text = " ".join(chance.choice(words, 8))
        texts.append(f"WIN a prize {text} {chance.integers(10**6)}!" if is_spam else f"hello {text}")
        classes.append(int(is_spam) if chance.random() > 0.05 else int(not is_spam))
    return LabelledSplit(texts, np.array(classes))


@pytest.mark.parametrize("name", BASELINES)
def test_each_learns_what_is_easy(name: str) -> None:
    train, validation, test = spam_and_ham(150, 1), spam_and_ham(45, 2), spam_and_ham(90, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chances = BASELINES[name](train, validation, 2)(test.texts)
    assert chances.shape == (90, 2)
    np.testing.assert_allclose(chances.sum(1), 1)
    accuracy = (chances.argmax(1) == test.classes).mean()
    assert accuracy == (test.classes == 0).mean() if name == "most frequent class" else accuracy > 0.85


@pytest.mark.parametrize("name", BASELINES)
def test_texts_without_words_and_many_classes_are_no_fault(name: str) -> None:
    texts = ["!!!", "?", "…", "!", "??", "…!"]
    split = LabelledSplit(texts, np.array([0, 1, 2, 0, 1, 2]))
    assert BASELINES[name](split, split, 3)(["…", ""]).shape == (2, 3)


def test_trigger_words_are_those_that_tell_the_classes_apart() -> None:
    train = spam_and_ham(150, 1)
    ham, spam = trigger_words(train.texts, train.classes, 2)
    assert spam[0] in ("win", "prize", "a") and "hello" in ham and not set(ham[:1]) & set(spam[:3])


def test_hand_made_features_see_what_people_see() -> None:
    features = HandMade(["x"], np.array([0]), 1)
    calm, loud = features(["come home soon", "FREE money!!! Call 0800 now at www.win.example"])
    assert (loud[1:6] >= calm[1:6]).all() and (loud[[1, 3, 4, 5]] > calm[[1, 3, 4, 5]]).all()
    assert features([""]).tolist() == [[0.0] * len(calm)]


def test_words_keep_their_marks() -> None:
    assert words_of("শুভ সকাল, दिल्ली!") == ["শুভ", "সকাল", "दिल्ली"]
    assert words_of("Don't STOP-now 24/7") == ["don", "t", "stop", "now", "24", "7"]


@given(st.text())
def test_words_are_parts_of_the_text(text: str) -> None:
    assert all(word in text.casefold() for word in words_of(text))


def test_figures_tell_of_every_way_beside_the_model() -> None:
    classes = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    right = np.eye(2)[classes] * 0.9 + 0.05
    found = figures_of({MODEL: right, "other": np.full((8, 2), [0.4, 0.6])}, classes)
    assert found["texts"] == 8
    model, other = found["ways"][MODEL], found["ways"]["other"]
    assert model["confusion"] == [[3, 0], [0, 5]] and other["confusion"] == [[0, 3], [0, 5]]
    assert model["figures"]["accuracy"]["value"] == 1 and other["figures"]["balanced accuracy"]["value"] == 0.5
    assert model["figures"]["accuracy"]["low"] < 1
    assert "compared" not in model and other["compared"]["difference"] == pytest.approx(0.375)
    (told,) = model["calibration"]
    assert told["texts"] == 8 and told["accuracy"] == 1 and told["confidence"] == pytest.approx(0.95)
