"""Beam search against trying everything, against greedy decoding, and against the same with smaller batches."""

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import UsageError
from homespun.inference.beam import Found, beam_search, penalty
from homespun.inference.settings import BeamConfig
from homespun.models.encoder_decoder import EncoderDecoder
from homespun.models.settings import EncoderDecoderConfig

END = 0


def chance_model(vocabulary: int, seed: int, size: float = 3.0) -> EncoderDecoder:
    """A model with opinions of its own: logits spread over a few nats."""
    torch.manual_seed(seed)
    config = EncoderDecoderConfig(
        vocabulary_size=vocabulary, context=12, layers=1, width=16, heads=2, dropout=0.0, tied_embeddings=False
    )
    model = EncoderDecoder(config).eval()
    with torch.no_grad():
        model.head.weight.normal_(0, size / 4)
    return model


def sources_of(rows: int, vocabulary: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(1, vocabulary, (rows, 6), generator=generator)
    documents = torch.ones_like(source)
    for row in range(rows):
        documents[row, 1 + row % 6 :] = 0
    return source, documents


def everything(vocabulary: int, limit: int) -> Iterator[tuple[int, ...]]:
    """All texts that end within ``limit`` tokens, without their end."""
    for length in range(limit):
        yield from itertools.product(range(1, vocabulary), repeat=length)


def score_of(model: EncoderDecoder, source: torch.Tensor, tokens: tuple[int, ...], exponent: float) -> float:
    """By one uncached pass over the whole text."""
    with torch.inference_mode():
        logits = model(torch.tensor([[END, *tokens]]), source)[0].double().log_softmax(-1)
    chance = sum(float(logits[place, token]) for place, token in enumerate((*tokens, END)))
    return chance / penalty(len(tokens) + 1, exponent)


def exhaustive(model: EncoderDecoder, source: torch.Tensor, limit: int, exponent: float) -> Found:
    texts = everything(model.config.vocabulary_size, limit)
    scored = [(score_of(model, source, tokens, exponent), tokens) for tokens in texts]
    score, tokens = max(scored)
    return Found(tokens, score)


def greedily(model: EncoderDecoder, source: torch.Tensor, limit: int) -> list[int]:
    """The likeliest token, again and again, without a cache."""
    tokens = [END]
    with torch.inference_mode():
        for _ in range(limit):
            tokens.append(int(model(torch.tensor([tokens]), source)[0, -1].argmax()))
            if tokens[-1] == END:
                return tokens[1:-1]
    return tokens[1:]


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_best_of_all_texts(exponent: float, seed: int) -> None:
    model, limit = chance_model(4, seed), 4
    source, documents = sources_of(3, 4, seed)
    found = beam_search(
        model, source, documents, END, [limit] * len(source), BeamConfig(beam=200, length_penalty=exponent)
    )
    for row, one in enumerate(found):
        alone = source[row : row + 1, : int(documents[row].sum())]
        best = exhaustive(model, alone, limit, exponent)
        assert one.tokens == best.tokens and one.ended
        assert one.score == pytest.approx(best.score, abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), vocabulary=st.integers(2, 30), limit=st.integers(1, 12))
def test_a_beam_of_one_is_greedy(seed: int, vocabulary: int, limit: int) -> None:
    model = chance_model(vocabulary, seed)
    source, documents = sources_of(4, vocabulary, seed)
    found = beam_search(model, source, documents, END, [limit] * len(source), BeamConfig(beam=1))
    for row, one in enumerate(found):
        alone = greedily(model, source[row : row + 1, : int(documents[row].sum())], limit)
        assert list(one.tokens) == alone
        assert one.ended == (len(alone) < limit)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), beam=st.integers(1, 9), exponent=st.sampled_from([0.0, 0.6, 1.5]))
def test_scores_are_true_and_a_batch_is_its_sentences(seed: int, beam: int, exponent: float) -> None:
    model, config = chance_model(17, seed), BeamConfig(beam=beam, length_penalty=exponent)
    source, documents = sources_of(5, 17, seed)
    limits = [10, 3, 1, 12, 6]
    together = beam_search(model, source, documents, END, limits, config)
    for row, one in enumerate(together):
        own = source[row : row + 1, : int(documents[row].sum())]
        (alone,) = beam_search(model, own, None, END, limits[row : row + 1], config)
        assert one.tokens == alone.tokens and one.ended == alone.ended
        if one.ended:
            assert one.score == pytest.approx(score_of(model, own, one.tokens, exponent), abs=1e-4)


def test_wider_beams_find_likelier_texts_in_the_mean() -> None:
    found = [
        [
            one
            for seed in range(20)
            for one in beam_search(
                chance_model(12, seed), *sources_of(4, 12, seed), END, [12] * 4, BeamConfig(beam, 0.0)
            )
        ]
        for beam in (1, 4, 64)
    ]
    ended = [[one.score for one in three] for three in zip(*found, strict=True) if all(one.ended for one in three)]
    assert len(ended) > 10
    greedy, narrow, wide = (sum(scores) for scores in zip(*ended, strict=True))
    assert greedy < narrow <= wide + 1e-6


def test_a_longer_text_is_preferred_with_a_penalty() -> None:
    assert penalty(1, 0.6) == 1.0
    assert penalty(7, 1.0) == 2.0
    assert penalty(20, 0.0) == 1.0
    lengths = []
    for exponent in (0.0, 2.0):
        config = BeamConfig(beam=30, length_penalty=exponent)
        found = [
            one
            for seed in range(8)
            for one in beam_search(chance_model(6, seed), *sources_of(4, 6, seed), END, [8] * 4, config)
        ]
        lengths.append(sum(len(one.tokens) for one in found))
    assert lengths[0] < lengths[1]


def test_a_text_without_an_end_is_cut_off_at_the_limit() -> None:
    model = chance_model(5, 1)
    with torch.no_grad():  # the end is as good as impossible
        model.head = torch.nn.Linear(16, 5)
        model.head.bias[END] = -1e4
    (one,) = beam_search(model, *sources_of(1, 5, 1), END, [7], BeamConfig(beam=3))
    assert len(one.tokens) == 7 and not one.ended and math.isfinite(one.score)


def test_settings_name_their_faults() -> None:
    for beam in (0, 1000):
        with pytest.raises(UsageError, match="--beam is"):
            BeamConfig(beam)
    with pytest.raises(UsageError, match="--length-penalty is"):
        BeamConfig(4, -1.0)
