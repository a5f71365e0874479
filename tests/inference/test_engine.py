"""The engine with its cache writes what the naive generator writes; its text never breaks a character or a stop."""

from itertools import islice

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homespun.inference.engine import Engine
from homespun.inference.naive import generate_naively
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import decode, stream_text, until_stop, until_token
from homespun.inference.window import window_start
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.tokenizer.tokenizer import Tokenizer

CONTEXT = 12
TOKENIZER = Tokenizer("homespun", [(ord("a"), ord("b")), (0xE0, 0xA6)])
SHAPES = {
    "rotary, grouped": {"positions": "rotary", "key_value_heads": 2},
    "rotary, one key-value head": {"positions": "rotary", "key_value_heads": 1, "tied_embeddings": False},
    "learned": {
        "positions": "learned", "normalization": "layer", "feedforward": "gelu", "biases": True,
        "query_key_norm": False, "norm_epsilon": 1e-5,
    },
}  # fmt: skip
RULES = {
    "greedy": SamplingConfig(temperature=0.0),
    "sampled": SamplingConfig(temperature=1.0, min_p=0.0, seed=3),
    "all rules": SamplingConfig(temperature=0.9, top_k=40, top_p=0.95, min_p=0.01, seed=4),
}


def model_of(shape: dict[str, object], context: int = CONTEXT) -> GPT:
    torch.manual_seed(1)
    config = GPTConfig(
        vocabulary_size=TOKENIZER.vocabulary_size,
        context=context,
        layers=2,
        width=32,
        heads=4,
        **shape,  # type: ignore[arg-type]
    )
    return GPT(config).eval()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("prompt_length", [1, 5, CONTEXT, CONTEXT + 1, 3 * CONTEXT + 2])
def test_the_engine_writes_what_the_naive_generator_writes(
    shape: dict[str, object], rules: SamplingConfig, prompt_length: int
) -> None:
    model = model_of(shape)
    prompt = torch.randint(250, (prompt_length,), generator=torch.Generator().manual_seed(9)).tolist()
    expected = list(islice(generate_naively(model, prompt, rules), 3 * CONTEXT))
    engine = Engine(model)
    assert list(islice(engine.tokens(prompt, rules), 3 * CONTEXT)) == expected
    assert list(islice(engine.tokens(prompt, rules), 3 * CONTEXT)) == expected  # nothing is left over from before
    assert len(prompt) == prompt_length  # the caller's list is his own


@pytest.mark.parametrize("context", [1, 2, 3])
def test_the_smallest_contexts(context: int) -> None:
    model, rules = model_of(SHAPES["rotary, grouped"], context), RULES["sampled"]
    expected = list(islice(generate_naively(model, [7, 8, 9], rules), 9))
    assert list(islice(Engine(model).tokens([7, 8, 9], rules), 9)) == expected


def test_within_the_context_greedy_is_the_argmax_of_the_whole_text() -> None:
    """An oracle that shares no code with either generator."""
    model = model_of(SHAPES["rotary, grouped"])
    ids = [1, 2, 3]
    with torch.inference_mode():
        while len(ids) < CONTEXT:
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert list(islice(Engine(model).tokens([1, 2, 3], RULES["greedy"]), CONTEXT - 3)) == ids[3:]


def test_each_token_is_computed_once() -> None:
    model, lengths = model_of(SHAPES["learned"]), []
    hidden = model.hidden
    model.hidden = lambda tokens, cache: lengths.append(tokens.shape[1]) or hidden(tokens, cache)  # type: ignore[method-assign]
    list(islice(Engine(model).tokens([1, 2, 3], RULES["greedy"]), CONTEXT - 3))
    assert lengths == [3] + [1] * (CONTEXT - 4)


def test_two_streams_of_one_engine_do_not_disturb_each_other() -> None:
    engine, rules = Engine(model_of(SHAPES["learned"])), RULES["sampled"]
    alone = [list(islice(engine.tokens(prompt, rules), 20)) for prompt in ([5], [6, 7])]
    first, second = engine.tokens([5], rules), engine.tokens([6, 7], rules)
    together = list(islice(zip(first, second, strict=False), 20))
    assert [list(stream) for stream in zip(*together, strict=True)] == alone


def test_the_engine_turns_dropout_off() -> None:
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocabulary_size=50, context=8, layers=1, width=16, heads=2, dropout=0.5)).train()
    texts = [list(islice(Engine(model).tokens([1], RULES["greedy"]), 12)) for _ in range(2)]
    assert texts[0] == texts[1]


@settings(deadline=None, max_examples=300)
@given(length=st.integers(1, 500), context=st.integers(1, 64))
def test_the_window_ends_at_the_text_and_jumps_by_half_a_context(length: int, context: int) -> None:
    start = window_start(length, context)
    assert 0 <= start < length
    assert length - start <= context
    assert start % max(1, context // 2) == 0
    if length > context:  # no more is forgotten than has to be
        assert length - (start - max(1, context // 2)) > context


@settings(deadline=None, max_examples=300)
@given(
    text=st.text("abc", max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=12),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3).map(tuple),
)
@example(text="abc", cuts=[2], stops=("abc", "b"))
@example(text="aabb", cuts=[1, 2, 3], stops=("aabc", "ab"))
def test_stops_do_not_depend_on_how_the_text_is_cut(text: str, cuts: list[int], stops: tuple[str, ...]) -> None:
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[borders[i] : borders[i + 1]] for i in range(len(borders) - 1)]
    places = [text.find(stop) for stop in stops if stop in text]
    printed = list(until_stop(pieces, stops))
    assert "".join(printed) == (text[: min(places)] if places else text)
    assert "" not in printed


def test_text_is_held_back_only_as_long_as_it_could_become_a_stop() -> None:
    pieces = iter(["Hello", " wor", "ld\nUs", "ing it\nUser:", "never"])
    stream = until_stop(pieces, ("\nUser:",))
    assert [next(stream) for _ in range(4)] == ["Hello", " wor", "ld", "\nUsing it"]
    assert list(stream) == []
    assert next(pieces) == "never"  # what follows a stop is not even asked for


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 5)), last=st.integers(0, 5))
def test_until_token_cuts_before_the_first(ids: list[int], last: int) -> None:
    assert list(until_token(ids, {last})) == (ids[: ids.index(last)] if last in ids else ids)


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, TOKENIZER.vocabulary_size - 1), max_size=40))
def test_decoding_piece_by_piece_is_decoding_at_once(ids: list[int]) -> None:
    pieces = list(decode(ids, TOKENIZER))
    assert "".join(pieces) == TOKENIZER.decode(ids)
    assert "" not in pieces


@settings(deadline=None)
@given(text=st.text(max_size=20))
def test_characters_are_printed_whole(text: str) -> None:
    """A byte at a time, and every piece is one whole character."""
    ids = list(text.encode())
    assert list(decode(ids, TOKENIZER)) == list(text)


@pytest.mark.parametrize("seed", range(6))
def test_streamed_text_is_the_decoded_tokens_cut_as_asked(seed: int) -> None:
    """Random weights write random bytes: most are no characters, and none of it may raise or come in halves."""
    model = model_of(SHAPES["learned"])
    config = SamplingConfig(temperature=2.0, min_p=0.0, seed=seed, maximum_tokens=60, stop=("\ufffd\ufffd\ufffd",))
    prompt = "abé 😀"
    ids = [TOKENIZER.end_of_text, *TOKENIZER.encode(prompt)]
    written = list(islice(generate_naively(model, ids, config), 60))
    if TOKENIZER.end_of_text in written:
        written = written[: written.index(TOKENIZER.end_of_text)]
    pieces = list(stream_text(Engine(model), TOKENIZER, prompt, config))
    assert "".join(pieces) == TOKENIZER.decode(written).split(config.stop[0])[0]
    for piece in pieces:
        piece.encode("utf-8")  # no lone surrogate
    without = SamplingConfig(temperature=2.0, min_p=0.0, seed=seed, maximum_tokens=7)
    assert "".join(stream_text(Engine(model), TOKENIZER, prompt, without)) == TOKENIZER.decode(written[:7])


def test_special_tokens_in_a_prompt_are_ordinary_text() -> None:
    seen: list[list[int]] = []
    engine = Engine(model_of(SHAPES["learned"], context=40))
    tokens = engine.tokens
    engine.tokens = lambda prompt, config: seen.append(prompt) or tokens(prompt, config)  # type: ignore[method-assign]
    list(stream_text(engine, TOKENIZER, "a<|endoftext|>b", SamplingConfig(maximum_tokens=1)))
    assert seen[0].count(TOKENIZER.end_of_text) == 1
    assert seen[0][0] == TOKENIZER.end_of_text
