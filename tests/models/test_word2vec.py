"""Word2Vec: the loss is the paper's formula, and a window in NumPy is a step of gradient descent on it, by autograd."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.models.word2vec import FILLING, METHODS, Windows, Word2Vec, negative_sampling_loss
from homespun.training.word_vectors.plain import LEARN, Window

WORDS, DIMENSIONS = 12, 7


def make_model(method: str, seed: int = 0) -> Word2Vec:
    torch.manual_seed(seed)
    model = Word2Vec(WORDS, DIMENSIONS, METHODS[method])
    torch.nn.init.normal_(model.vectors.weight)
    torch.nn.init.normal_(model.outputs.weight)
    return model


def batch(*windows: Window) -> Windows:
    """Windows of different lengths, filled up."""

    def filled(rows: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, rows))
        return torch.tensor([row + [FILLING] * (longest - len(row)) for row in rows], dtype=torch.int64)

    return Windows(
        torch.tensor([window.centre for window in windows]),
        filled([window.contexts for window in windows]),
        filled([window.negatives for window in windows]),
    )


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def loss_by_hand(model: Word2Vec, window: Window, method: str) -> float:
    """Mikolov et al. 2013b, equation 4, written out."""
    vectors, outputs = model.vectors.weight.detach().numpy(), model.outputs.weight.detach().numpy()
    rows = [vectors[word] for word in window.contexts]
    if method == "cbow":
        rows = [sum(rows) / len(rows)]
    loss = 0.0
    for row in rows:
        loss -= log_sigmoid(float(row @ outputs[window.centre]))
        loss -= sum(log_sigmoid(-float(row @ outputs[word])) for word in window.negatives)
    return loss


WINDOWS = (Window(3, [1, 4, 4, 0], [5, 6, 5]), Window(0, [2], [11]), Window(7, [7, 7], []))


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_the_formula_of_the_paper(method: str) -> None:
    model = make_model(method)
    expected = [loss_by_hand(model, window, method) for window in WINDOWS]
    for window, loss in zip(WINDOWS, expected, strict=True):
        assert negative_sampling_loss(*model(batch(window))).item() == pytest.approx(loss, rel=1e-5)
    assert negative_sampling_loss(*model(batch(*WINDOWS))).item() == pytest.approx(sum(expected), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_filling_has_no_gradient(method: str) -> None:
    model = make_model(method)
    negative_sampling_loss(*model(batch(*WINDOWS))).backward()
    for table, used in (
        (model.vectors, {word for window in WINDOWS for word in window.contexts}),
        (model.outputs, {word for window in WINDOWS for word in (window.centre, *window.negatives)}),
    ):
        gradient = table.weight.grad
        assert gradient is not None
        assert set(torch.nonzero(gradient.abs().sum(1)).flatten().tolist()) == used


def test_a_window_without_context_costs_nothing() -> None:
    for method in METHODS:
        windows = Windows(torch.tensor([1]), torch.full((1, 3), FILLING), torch.tensor([[2, 3]]))
        assert negative_sampling_loss(*make_model(method)(windows)).item() == 0


def test_shapes() -> None:
    for method, rows in (("skipgram", 4), ("cbow", 1)):
        logits, counts = make_model(method)(batch(*WINDOWS))
        assert logits.shape == (3, rows, 4)
        assert counts.expand_as(logits).dtype == torch.bool


def test_first_guesses_are_one_half() -> None:
    logits, _ = Word2Vec(WORDS, DIMENSIONS)(batch(*WINDOWS))
    assert torch.equal(logits, torch.zeros_like(logits))


words = st.integers(0, WORDS - 1)
any_window = st.builds(Window, words, st.lists(words, min_size=1, max_size=8), st.lists(words, max_size=6))


@pytest.mark.parametrize("method", METHODS)
@given(window=any_window, rate=st.floats(0.001, 0.5), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_a_window_in_numpy_is_a_step_of_gradient_descent(method: str, window: Window, rate: float, seed: int) -> None:
    # Words that come twice, on either side or on both, move by the sum of what they should.
    model = make_model(method, seed)
    vectors, outputs = (table.weight.detach().numpy().copy() for table in (model.vectors, model.outputs))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    negative_sampling_loss(*model(batch(window))).backward()
    optimizer.step()
    LEARN[method](vectors, outputs, window, rate)
    np.testing.assert_allclose(vectors, model.vectors.weight.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs, model.outputs.weight.detach().numpy(), rtol=1e-4, atol=1e-5)


def learn_all(model: Word2Vec, windows: Windows, loss_of: Callable[..., torch.Tensor], steps: int) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(*model(windows))
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_one_batch_by_heart(method: str) -> None:
    windows = batch(Window(0, [1, 2], [5, 6]), Window(3, [4], [7, 8]))
    assert learn_all(Word2Vec(WORDS, DIMENSIONS, METHODS[method]), windows, negative_sampling_loss, 200) < 0.1
