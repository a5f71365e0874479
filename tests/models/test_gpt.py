"""The decoder: causality, the cache, counting, initialization, settings, and that it can learn."""

import math
from dataclasses import replace
from itertools import product
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from homespun.common.errors import UsageError
from homespun.models.arithmetic import forward_flops_per_token, parameter_count, training_flops_per_token
from homespun.models.gpt import GPT
from homespun.models.registry import build_model
from homespun.models.settings import GPTConfig

QWEN = GPTConfig(vocabulary_size=61, context=24, layers=2, width=32, heads=4, key_value_heads=2, head_width=12)
GPT2 = GPTConfig(
    vocabulary_size=61, context=24, layers=2, width=32, heads=4, positions="learned", normalization="layer",
    feedforward="gelu", biases=True, query_key_norm=False, norm_epsilon=1e-5,
)  # fmt: skip
SWITCHES = replace(QWEN, layers=3, feedforward="relu2", value_embeddings=2, logit_softcap=15.0, tied_embeddings=False)
ALL = pytest.mark.parametrize("config", [QWEN, GPT2, SWITCHES], ids=["qwen", "gpt2", "switches"])


def model_of(config: GPTConfig, seed: int = 0) -> GPT:
    torch.manual_seed(seed)
    return build_model(config).eval()


MODELS = {"qwen": model_of(QWEN), "gpt2": model_of(GPT2), "switches": model_of(SWITCHES)}


@ALL
def test_a_later_token_never_changes_an_earlier_logit(config: GPTConfig) -> None:
    model, length = model_of(config), config.context
    tokens = torch.randint(61, (2, length), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = model(tokens)
        for place in range(1, length):
            changed = tokens.clone()
            changed[:, place:] = (changed[:, place:] + 7) % 61
            after = model(changed)
            assert torch.equal(after[:, :place], before[:, :place])
            assert not torch.allclose(after[:, place], before[:, place])


@ALL
def test_sequences_of_a_batch_do_not_see_each_other(config: GPTConfig) -> None:
    model, tokens = model_of(config), torch.randint(61, (3, 10), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        together = model(tokens)
        for row in range(3):
            torch.testing.assert_close(together[row : row + 1], model(tokens[row : row + 1]), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(sorted(MODELS)),
    chunks=st.lists(st.integers(1, 9), min_size=1, max_size=24),
    batch=st.integers(1, 2),
    seed=st.integers(0, 2**31),
)
def test_any_split_into_chunks_gives_the_logits_of_one_pass(
    name: str, chunks: list[int], batch: int, seed: int
) -> None:
    model = MODELS[name]
    while sum(chunks) > model.config.context:
        chunks.pop()
    if not chunks:
        chunks = [model.config.context]
    tokens = torch.randint(61, (batch, sum(chunks)), generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        whole, cache = model(tokens), model.new_cache(batch)
        for _ in range(2):  # a cleared cache is as good as a new one
            pieces = torch.cat([model(part, cache) for part in tokens.split(chunks, dim=1)], dim=1)
            torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-4)
            assert cache.length == tokens.shape[1]
            cache.clear()


@ALL
def test_the_cache_ends_where_the_context_ends(config: GPTConfig) -> None:
    model = model_of(config)
    cache = model.new_cache(1)
    with torch.inference_mode():
        model(torch.zeros(1, config.context, dtype=torch.long), cache)
        with pytest.raises(ValueError, match="position 25 was asked for"):
            model(torch.zeros(1, 1, dtype=torch.long), cache)


GRID = [
    GPTConfig(
        vocabulary_size=37, context=11, layers=layers, width=24, heads=4, key_value_heads=key_value_heads,
        head_width=head_width, feedforward_width=feedforward_width, positions=positions, normalization=normalization,
        feedforward=feedforward, biases=biases, query_key_norm=query_key_norm, tied_embeddings=tied,
        value_embeddings=layers - tied,
    )
    for layers, key_value_heads, head_width, feedforward_width in ((1, 0, 0, 0), (2, 2, 10, 20), (3, 1, 8, 0))
    for positions, normalization, feedforward in product(
        ("rotary", "learned"), ("rms", "layer"), ("swiglu", "gelu", "relu2")
    )
    for biases, query_key_norm, tied in product((False, True), repeat=3)
]  # fmt: skip


def test_parameters_are_counted_exactly_without_building() -> None:
    for config in GRID[::5]:
        with torch.device("meta"):
            model = GPT(config)
        assert parameter_count(config) == sum(parameter.numel() for parameter in model.parameters()), config


@ALL
def test_operations_are_those_that_torch_counts(config: GPTConfig) -> None:
    """Matrix products to the last operation; attention is counted at half of the square.

    A token sees (T + 1) / 2 positions on average, which the arithmetic rounds to T / 2. PyTorch's
    counter has no notion of the causal mask: it counts the whole T x T square.
    """
    model, length = model_of(config), config.context
    # The plain form of attention, made of matrix products: the counter does not know the fused kernel of a processor.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, length, dtype=torch.long))
    counts = {str(operation): flops for operation, flops in counter.get_flop_counts()["Global"].items()}
    products = counts.get("aten.mm", 0) + counts.get("aten.addmm", 0)
    square = 2 * 2 * config.layers * config.heads * config.width_of_head * length
    assert products == 2 * length * (forward_flops_per_token(config) - square / 2)
    assert counts["aten.bmm"] == 2 * length * square
    assert training_flops_per_token(config) == 3 * forward_flops_per_token(config)


@pytest.mark.parametrize(("norm_order", "smaller"), [("pre", math.sqrt(16)), ("post", 1.0)])
def test_initialization_follows_its_table(norm_order: Literal["pre", "post"], smaller: float) -> None:
    config = replace(GPT2, vocabulary_size=2000, width=64, layers=8, norm_order=norm_order)
    model, deviation = model_of(config), 0.02 * math.sqrt(768 / 64)
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        if parameter.dim() == 1:
            wanted = 0.0 if name.endswith("bias") else 1.0
            assert bool((values == wanted).all()), name
        else:
            wanted = deviation / smaller if name.endswith("output.weight") else deviation
            assert math.isclose(float(values.std()), wanted, rel_tol=0.08), name
            assert abs(float(values.mean())) < wanted / 10, name
    with torch.inference_mode():
        logits = model(torch.randint(2000, (2, 24)))
    assert float(logits.std()) < 6


def test_projections_to_the_residual_stream_start_at_zero_if_asked() -> None:
    model = model_of(replace(SWITCHES, zero_output_projections=True))
    tokens = torch.randint(61, (2, 24), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        embedded = model.final_norm(model.token_embedding(tokens))
        torch.testing.assert_close(model.hidden(tokens), embedded)
    zero = {name for name, parameter in model.named_parameters() if not bool(parameter.any())}
    assert zero == {name for name, _ in model.named_parameters() if name.endswith("output.weight")}


def test_logits_of_a_part_are_a_part_of_the_logits() -> None:
    model, tokens = model_of(SWITCHES), torch.randint(61, (2, 24), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        model.head.weight *= 60
        logits = model(tokens)
        parts = [model.logits(part) for part in model.hidden(tokens).flatten(0, 1).split(7)]
    torch.testing.assert_close(torch.cat(parts).view_as(logits), logits, rtol=1e-4, atol=1e-4)
    assert 14 < float(logits.abs().max()) <= 15


def test_value_embeddings_reach_the_last_layers_only() -> None:
    model, tokens = model_of(SWITCHES), torch.randint(61, (1, 24), generator=torch.Generator().manual_seed(3))
    inputs: list[torch.Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda _block, _inputs, out: inputs.append(out))
    with torch.inference_mode():
        model(tokens)
        for table in model.value_embeddings:
            table.weight += 1
        model(tokens)
    same = [torch.equal(inputs[layer], inputs[layer + 3]) for layer in range(3)]
    assert same == [True, False, False]


def test_tied_models_share_one_matrix_and_untied_ones_do_not() -> None:
    tied, untied = model_of(QWEN), model_of(replace(QWEN, tied_embeddings=False))
    assert tied.head.weight is tied.token_embedding.weight
    assert "head.weight" not in dict(tied.named_parameters())
    assert untied.head.weight is not untied.token_embedding.weight


@ALL
def test_every_parameter_learns(config: GPTConfig) -> None:
    model = model_of(replace(config, tied_embeddings=False))
    tokens = torch.randint(61, (2, config.context))
    torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(-1).flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@ALL
def test_a_tiny_model_learns_one_batch_by_heart(config: GPTConfig) -> None:
    model = model_of(config)
    tokens = torch.randint(61, (4, 17), generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        logits = model(tokens[:, :-1])
        # The first token does not tell the sequences apart before it is seen; from the second on all is known.
        loss = torch.nn.functional.cross_entropy(logits[:, 1:].flatten(0, 1), tokens[:, 2:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"vocabulary_size": 0}, "model.vocabulary_size"),
        ({"context": 0}, "model.context"),
        ({"layers": 0}, "model.layers"),
        ({"layers": -3}, "model.layers"),
        ({"width": 0}, "model.width"),
        ({"heads": 0}, "model.heads"),
        ({"heads": 5}, "does not divide into model.heads 5"),
        ({"heads": 4, "key_value_heads": 3}, "model.key_value_heads 3"),
        ({"heads": 4, "key_value_heads": 8}, "model.key_value_heads 8"),
        ({"key_value_heads": -2}, "model.key_value_heads"),
        ({"head_width": -8}, "model.head_width"),
        ({"head_width": 7}, "is odd"),
        ({"feedforward_width": -1}, "model.feedforward_width"),
        ({"dropout": 1.0}, "model.dropout"),
        ({"dropout": -0.1}, "model.dropout"),
        ({"dropout": math.nan}, "model.dropout"),
        ({"rotary_base": 0.0}, "model.rotary_base"),
        ({"rotary_base": -5.0}, "model.rotary_base"),
        ({"rotary_base": math.nan}, "model.rotary_base"),
        ({"norm_epsilon": -1e-6}, "model.norm_epsilon"),
        ({"norm_epsilon": math.nan}, "model.norm_epsilon"),
        ({"positions": "sinus"}, "model.positions"),
        ({"normalization": "batch"}, "model.normalization"),
        ({"feedforward": "relu"}, "model.feedforward"),
        ({"value_embeddings": -1}, "model.value_embeddings"),
        ({"layers": 2, "value_embeddings": 3}, "only 2 model.layers"),
        ({"logit_softcap": -1.0}, "model.logit_softcap"),
        ({"logit_softcap": math.nan}, "model.logit_softcap"),
        ({"architecture": "lstm-9"}, "architecture"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(values: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        build_model(GPTConfig(**values))  # type: ignore[arg-type]
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_defaults_of_widths_are_worked_out() -> None:
    assert GPTConfig(width=256, heads=4).width_of_head == 64
    assert GPTConfig(width=256, heads=4, head_width=20).width_of_head == 20
    assert GPTConfig(width=256, heads=4).count_of_key_value_heads == 4
    assert GPTConfig(width=256, feedforward="gelu").hidden_width == 1024
    assert [GPTConfig(width=width, heads=1).hidden_width for width in (12, 96, 256)] == [32, 256, 704]
