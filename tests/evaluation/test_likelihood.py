"""Likelihoods in groups with shared beginnings are those of one text at a time."""

import itertools
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homespun.common.errors import HomespunError
from homespun.evaluation import sharing
from homespun.evaluation.likelihood import Request, Scorer, encode_pairs, fit
from homespun.evaluation.naive import score_naively
from homespun.evaluation.sharing import cost_of, groups_of, shareable
from tests.evaluation.conftest import CONTEXT, TOKENIZER, model_of

FAMILIES = {
    "gpt": model_of("gpt", heads=4, key_value_heads=2),
    "gpt, capped": model_of("gpt", heads=4, logit_softcap=5.0, positions="learned"),
    "lstm": model_of("lstm"),
    "rwkv": model_of("rwkv"),
}
token = st.integers(0, TOKENIZER.vocabulary_size - 1)


def requests_of(seed: int, count: int = 40, longest: int = 2 * CONTEXT) -> list[Request]:
    """Contexts with much in common, some of them longer than the window; continuations that fit."""
    chance = random.Random(seed)
    draw = lambda size: [chance.randrange(TOKENIZER.vocabulary_size) for _ in range(size)]  # noqa: E731
    stems = [draw(chance.randint(1, longest)) for _ in range(4)]
    contexts = [[*chance.choice(stems), *draw(chance.choice((0, 0, 1, 5)))] for _ in range(count)]
    return [Request(context, draw(chance.randint(1, CONTEXT))) for context in contexts]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cost", [0, 64])
def test_groups_score_as_one_request_at_a_time(
    family: str, seed: int, cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "COST_OF_A_CALL", cost)  # 0: even a token in common is computed once
    model, requests = FAMILIES[family], requests_of(seed)
    scorer = Scorer(model, TOKENIZER)
    told: list[int] = []
    for request, scored in zip(requests, scorer.of_requests(requests, told.append), strict=True):
        expected = score_naively(model, request)
        np.testing.assert_allclose(scored.nats, expected.nats, atol=2e-5, rtol=1e-5)
        assert (scored.greedy == expected.greedy).all()
        assert scored.total == pytest.approx(scored.nats.sum()) and scored.verbatim == scored.greedy.all()
    assert sum(told) == len(requests)
    groups = groups_of([(one.context, one.continuation) for one in requests])
    assert cost or any(group.shared for group in groups)


def test_an_oracle_without_code_in_common() -> None:
    """By the chain rule over single tokens, and with probabilities that add up to 1."""
    model, context = FAMILIES["gpt"], [5, 6, 7]
    scorer = Scorer(model, TOKENIZER)
    every = scorer.of_requests([Request(context, [next_one]) for next_one in range(TOKENIZER.vocabulary_size)])
    assert sum(math.exp(one.total) for one in every) == pytest.approx(1.0, abs=1e-5)
    assert sum(one.verbatim for one in every) == 1
    (whole,) = scorer.of_requests([Request(context, [8, 9])])
    steps = scorer.of_requests([Request(context, [8]), Request([*context, 8], [9])])
    assert whole.total == pytest.approx(sum(one.total for one in steps), abs=1e-5)


def test_a_context_longer_than_the_window_loses_its_beginning() -> None:
    model, scorer = FAMILIES["gpt"], Scorer(FAMILIES["gpt"], TOKENIZER)
    long, answer = list(range(3 * CONTEXT)), [1, 2, 3]
    (cut,) = scorer.of_requests([Request(long, answer)])
    assert scorer.cut == 1
    kept = long[-(CONTEXT - len(answer) + 1) :]
    with torch.inference_mode():
        logits = model(torch.tensor([kept + answer[:-1]]))[0, len(kept) - 1 :].log_softmax(-1)
    assert cut.nats == pytest.approx(logits[torch.arange(3), torch.tensor(answer)].numpy(), abs=1e-5)
    assert fit(Request(long, [4] * CONTEXT), CONTEXT) == Request(long[-1:], [4] * CONTEXT)
    with pytest.raises(HomespunError, match="an answer of 25 tokens is longer than the 24 tokens"):
        scorer.of_requests([Request(long, [4] * (CONTEXT + 1))])


def test_a_recurrent_model_forgets_nothing() -> None:
    scorer = Scorer(FAMILIES["lstm"], TOKENIZER)
    long = list(range(3 * CONTEXT))
    scorer.of_requests([Request(long, [1] * (CONTEXT + 1))])
    assert scorer.cut == 0


@settings(deadline=None)
@given(context=st.text("the in", max_size=8), continuation=st.text("the in", min_size=1, max_size=8))
@example(context=" i", continuation="n")  # they share a token: all that is left of the context is a space
def test_pairs_are_cut_where_the_context_ends(context: str, continuation: str) -> None:
    (request,) = encode_pairs([(context, continuation)], TOKENIZER)
    assert request.context[0] == TOKENIZER.end_of_text
    assert TOKENIZER.decode([*request.context[1:], *request.continuation]) == context + continuation
    assert [*request.context[1:], *request.continuation] == TOKENIZER.encode(context + continuation)
    before = TOKENIZER.decode(request.context[1:])
    assert context.rstrip().startswith(before)


def test_white_space_goes_to_the_continuation_and_marks_are_text() -> None:
    (request,) = encode_pairs([("in the ", "the")], TOKENIZER)
    assert TOKENIZER.decode(request.continuation) == " the"
    (typed,) = encode_pairs([("<|endoftext|>", " in")], TOKENIZER)
    assert typed.context.count(TOKENIZER.end_of_text) == 1
    with pytest.raises(HomespunError, match="empty answer"):
        encode_pairs([("a", "")], TOKENIZER)


pairs = st.lists(
    st.tuples(st.lists(st.integers(0, 1), min_size=1, max_size=6), st.lists(st.just(1), min_size=1, max_size=4)),
    max_size=6,
)


@settings(deadline=None, max_examples=200)
@given(requests=pairs)
def test_groups_cover_everything_and_cost_least(requests: list[tuple[list[int], list[int]]]) -> None:
    original = sharing.COST_OF_A_CALL
    sharing.COST_OF_A_CALL = 3
    try:
        groups = groups_of(requests)
        assert sorted(place for group in groups for place in group.places) == list(range(len(requests)))
        if not requests:
            return
        for group in groups:
            first = requests[group.places[0]][0]
            for place in group.places:
                context = requests[place][0]
                assert group.shared < len(context) and context[: group.shared] == first[: group.shared]
        order = [place for group in groups for place in group.places]
        cheapest = min(
            sum(price([requests[place] for place in order[a:b]]) for a, b in itertools.pairwise(cuts))
            for cuts in all_cuts(len(order))
        )
        assert sum(price([requests[place] for place in group.places]) for group in groups) == cheapest
    finally:
        sharing.COST_OF_A_CALL = original


def price(group: list[tuple[list[int], list[int]]]) -> float:
    """What a group costs."""
    longest = max(len(context) + len(continuation) - 1 for context, continuation in group)
    contexts = [context for context, _ in group]
    shared = min((shareable(contexts[0], other) for other in contexts[1:]), default=0)
    return cost_of(len(group), longest, shared)


def all_cuts(length: int) -> list[list[int]]:
    """Every way to cut a row."""
    inner = range(1, length)
    return [
        [0, *chosen, length]
        for number in range(max(1, length))
        for chosen in itertools.combinations(inner, number)
    ]  # fmt: skip


def test_groups_stay_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "POSITIONS_AT_ONCE", 50)
    groups = groups_of([([1] * 20, [2] * size) for size in range(1, 30)])
    for group in groups:
        assert len(group.places) == 1 or len(group.places) * max(20 + place for place in group.places) <= 50
    assert sum(len(group.places) for group in groups) == 29
