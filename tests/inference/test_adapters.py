"""One base, several adapters: each as if it were merged, and the base's own bits in between."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import HomespunError, UsageError
from homespun.inference.adapters import Adapters
from homespun.interchange.forms import model_of, weights_of
from homespun.interchange.weights import Weights
from homespun.models.adapter import EMBEDDING, HEAD, Adapter, Difference, Rows, merge
from homespun.models.registry import build_model
from homespun.models.settings import BERTConfig, EncoderDecoderConfig, RWKVConfig
from tests.interchange.adapters import factors, random_adapter, random_rows
from tests.interchange.conftest import OURS, TOKENIZER, our_model, randomize

KNOWN = TOKENIZER.vocabulary_size
TOKENS = torch.randint(KNOWN, (2, 20), generator=torch.Generator().manual_seed(7))
OTHERS = {
    "bert": BERTConfig(vocabulary_size=KNOWN, context=40, layers=2, width=32),
    "encoder-decoder": EncoderDecoderConfig(vocabulary_size=KNOWN, context=40, layers=2, width=32, heads=4),
    "rwkv": RWKVConfig(vocabulary_size=KNOWN, context=40, layers=2, width=32, head_width=16),
}


def model(name: str) -> Any:
    return our_model(name) if name in OURS else randomize(build_model(OTHERS[name]))


@torch.inference_mode()
def logits(found: Any, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    return found(tokens, tokens) if found.config.architecture == "encoder_decoder" else found(tokens)


def merged(base: Any, adapter: Adapter) -> Any:
    """The other way: in the weights."""
    tensors = merge(weights_of(base, TOKENIZER).tensors, adapter)
    return model_of(Weights(replace(base.config, vocabulary_size=len(tensors[EMBEDDING])), tensors, TOKENIZER))


def small(config: Any, seed: int) -> Adapter:
    """Every matrix of the blocks, by a little."""
    return Adapter(random_adapter(config, seed, rank=2, scale=0.2).differences)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2", "gpt1", "mistral-tied", *OTHERS])
def test_each_speaks_as_if_it_were_merged_and_the_base_stays(name: str) -> None:
    base = model(name)
    before, bits = logits(base), {key: value.clone() for key, value in base.named_parameters()}
    places, pointers = list(bits), [value.data_ptr() for value in base.parameters()]
    adapters = Adapters(base, TOKENIZER)
    wanted = {}
    for number, one in enumerate("ab"):
        adapter = small(base.config, number)
        if not base.config.architecture.startswith(("bert", "rwkv")):
            adapter = Adapter(adapter.differences, random_rows(base.config, (number, 9)))
        wanted[one] = logits(merged(base, adapter))
        adapters.add(one, adapter)
    assert adapters.names == ["a", "b"] and adapters.in_use is None and adapters.model is base
    assert torch.equal(logits(base), before)
    for one in ("a", "b", "a", None, "b", None):
        adapters.use(one)
        found = logits(base)
        if one is None:
            assert torch.equal(found, before)
        else:
            torch.testing.assert_close(found, wanted[one], rtol=1e-5, atol=1e-5)
            assert not torch.allclose(found, before, atol=1e-2)
    assert [key for key, _ in base.named_parameters()] == places
    assert [value.data_ptr() for value in base.parameters()] == pointers
    assert all(torch.equal(value, bits[key]) for key, value in base.named_parameters())


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2"])
def test_new_tokens_are_there_only_while_it_is_in_use(name: str) -> None:
    base, tokenizer = model(name), TOKENIZER.with_special_tokens(("<|new|>", "<|newer|>"))
    new = tuple(range(KNOWN, tokenizer.vocabulary_size))
    adapter = Adapter(small(base.config, 1).differences, random_rows(base.config, (*reversed(new), 5)))
    before, wanted = logits(base), merged(base, adapter)
    adapters = Adapters(base, TOKENIZER)
    adapters.add("chat", adapter, tokenizer)
    adapters.use("chat")
    assert adapters.tokenizer is tokenizer and base.config.vocabulary_size == KNOWN + len(new)
    tokens = TOKENS.clone()
    tokens[0, 3], tokens[1, 4], tokens[1, 7] = new[0], new[-1], 5
    found = logits(base, tokens)
    assert found.shape[-1] == KNOWN + len(new)
    torch.testing.assert_close(found, logits(wanted, tokens), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(base.head.weight, wanted.head.weight, rtol=0, atol=0)
    adapters.use(None)
    assert base.config.vocabulary_size == KNOWN and adapters.tokenizer is TOKENIZER
    assert torch.equal(logits(base), before)


@pytest.mark.parametrize("name", ["llama", "gpt2-untied"])
def test_differences_of_the_vocabulary_and_of_positions(name: str) -> None:
    base, chance = model(name), torch.Generator().manual_seed(3)
    tensors = [key for key in (EMBEDDING, HEAD, "positions.weight") if key in dict(base.named_parameters())]
    differences = []
    for key in tensors:
        rows, columns = base.get_parameter(key).shape
        down, up = factors((rows - 5, columns), 2, chance)
        differences.append(Difference(key, 3, up, down, 0.3))
    adapter = Adapter(tuple(differences))
    before, wanted = logits(base), logits(merged(base, adapter))
    adapters = Adapters(base, TOKENIZER)
    adapters.add("words", adapter)
    adapters.use("words")
    torch.testing.assert_close(logits(base), wanted, rtol=1e-5, atol=1e-5)
    adapters.use(None)
    assert torch.equal(logits(base), before)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=12))
def test_any_order_of_switches(order: list[str | None]) -> None:
    base = model("qwen3")
    adapters, wanted = Adapters(base, TOKENIZER), {None: logits(base)}
    for number, one in enumerate("abc"):
        adapters.add(one, small(base.config, number))
    for one in "abc":
        adapters.use(one)
        wanted[one] = logits(base)
    for one in order:
        adapters.use(one)
        assert adapters.in_use == one and torch.equal(logits(base), wanted[one])


def test_one_more_while_another_is_in_use() -> None:
    base = model("llama")
    adapters = Adapters(base, TOKENIZER)
    adapters.add("a", small(base.config, 1))
    adapters.use("a")
    found = logits(base)
    adapters.add("b", small(base.config, 2))
    assert adapters.in_use == "a" and torch.equal(logits(base), found)


def of(tensor: str, rows: int, columns: int, first: int = 0) -> Adapter:
    return Adapter((Difference(tensor, first, torch.zeros(rows, 2), torch.zeros(2, columns), 1.0),))


def rows_of(tensor: str, places: tuple[int, ...], width: int = 32) -> Rows:
    return Rows(tensor, places, torch.zeros(len(places), width))


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (of("blocks.7.attention.output.weight", 32, 32), "is no matrix of this model"),
        (of("final_norm.weight", 32, 32), "is no matrix of this model"),
        (of("blocks.0.attention.output.weight", 32, 64), "the model's has shape"),
        (of("blocks.0.attention.output.weight", 32, 32, first=1), "the model's has shape"),
        (Adapter((), (rows_of(EMBEDDING, (1,), 31),)), r"rows of 31 numbers for token_embedding.weight; .* \(32,\)"),
        (Adapter((), (rows_of("blocks.0.attention.output.weight", (1,)),)), "the adapter has rows of 32 numbers for"),
        (Adapter((), (rows_of(EMBEDDING, (1, 1)),)), "for tokens that are there twice"),
        (Adapter((), (rows_of(EMBEDDING, (-1,)),)), "or negative"),
        (Adapter((), (rows_of(EMBEDDING, (KNOWN + 1,)), rows_of(HEAD, (KNOWN + 1,)))), "but not for each of them"),
        (Adapter((), (rows_of(EMBEDDING, (KNOWN,)),)), "but not for each of them"),
    ],
)
def test_one_of_another_base_is_a_line(adapter: Adapter, said: str) -> None:
    base = model("llama")
    before, adapters = logits(base), Adapters(base, TOKENIZER)
    with pytest.raises(HomespunError, match=said):
        adapters.add("other", adapter)
    with pytest.raises(HomespunError, match=said):
        merge(weights_of(base, TOKENIZER).tensors, adapter)
    assert adapters.names == [] and torch.equal(logits(base), before)


def test_names_are_taken_once() -> None:
    base = model("llama")
    adapters = Adapters(base, TOKENIZER)
    adapters.add("a", small(base.config, 1))
    for name in ("a", "base"):
        with pytest.raises(UsageError, match=f"the adapter's name {name} is taken"):
            adapters.add(name, small(base.config, 1))
    with pytest.raises(UsageError, match="there is no adapter b; there is a"):
        adapters.use("b")
