"""The encoder-decoder: against PyTorch's own, cached against uncached, padding, what each token can see."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from homespun.batches.batch import IGNORED, Batch
from homespun.common.errors import UsageError
from homespun.layers.attention import use_attention
from homespun.layers.attention_weights import watched_attention
from homespun.layers.positions import SinusoidalPositions
from homespun.models.encoder_decoder import EncoderDecoder
from homespun.models.settings import EncoderDecoderConfig
from homespun.tokenizer.special import SEPARATOR
from homespun.training.losses import Translation

CONFIG = EncoderDecoderConfig(
    vocabulary_size=53, context=24, layers=2, encoder_layers=3, width=32, heads=4, feedforward_width=72, dropout=0.0
)
ORDERS = pytest.mark.parametrize("order", ["post", "pre"])
LENGTHS = (11, 4, 1)


def chance_model(**changes: Any) -> EncoderDecoder:
    """Every weight random, gains and biases too: a part that is left out cannot hide behind ones and zeros."""
    torch.manual_seed(5)
    model = EncoderDecoder(replace(CONFIG, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.2)
    return model


def tokens_of(rows: int, length: int, seed: int = 7) -> torch.Tensor:
    return torch.randint(53, (rows, length), generator=torch.Generator().manual_seed(seed))


def filled_up(rows: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources of several lengths, and which of their tokens are text."""
    source = tokens_of(rows, max(LENGTHS))
    documents = torch.zeros_like(source)
    for row, length in enumerate(LENGTHS):
        documents[row, :length] = 1
    return source, documents


def test_positions_are_the_published_formula() -> None:
    table = SinusoidalPositions(50, 10).table
    for place in (0, 1, 7, 49):
        for wave in range(5):
            angle = place / 10_000 ** (2 * wave / 10)
            assert table[place, wave] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 5 + wave] == pytest.approx(math.cos(angle), abs=1e-6)
    assert SinusoidalPositions(4, 7).add(torch.zeros(1, 2, 7), 1).shape == (1, 2, 7)


def pytorch_stacks(config: EncoderDecoderConfig) -> tuple[nn.TransformerEncoder, nn.TransformerDecoder]:
    """The same shape from PyTorch's layers."""
    sizes = {
        "d_model": config.width, "nhead": config.heads, "dim_feedforward": config.hidden_width, "dropout": 0.0,
        "activation": "relu", "norm_first": config.norm_order == "pre", "batch_first": True,
        "layer_norm_eps": config.norm_epsilon,
    }  # fmt: skip
    last = [nn.LayerNorm(config.width, config.norm_epsilon) for _ in range(2)] if sizes["norm_first"] else [None, None]
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(**sizes), config.count_of_encoder_layers, last[0], enable_nested_tensor=False
    )
    return encoder.eval(), nn.TransformerDecoder(nn.TransformerDecoderLayer(**sizes), config.layers, last[1]).eval()


def give_weights(ours: EncoderDecoder, encoder: nn.Module, decoder: nn.Module) -> None:
    """Our weights to PyTorch's layers."""
    names = {
        "self_attn.in_proj_": "attention.query_key_value.", "self_attn.out_proj.": "attention.output.",
        "multihead_attn.out_proj.": "cross_attention.output.",
        "linear1.": "feedforward.widen.", "linear2.": "feedforward.output.",
    }  # fmt: skip
    encoder_norms = {"norm1.": "attention_norm.", "norm2.": "feedforward_norm."}
    decoder_norms = {"norm1.": "attention_norm.", "norm2.": "cross_norm.", "norm3.": "feedforward_norm."}
    for stack, blocks, norms, last in (
        (encoder, ours.encoder, names | encoder_norms, ours.encoder_norm),
        (decoder, ours.decoder, names | decoder_norms, ours.decoder_norm),
    ):
        own = {
            f"layers.{index}.{name}": parameter
            for index, block in enumerate(blocks)
            for name, parameter in block.named_parameters()
        } | {f"norm.{name}": parameter for name, parameter in last.named_parameters()}
        for name, parameter in stack.named_parameters():
            for theirs, mine in norms.items():
                name = name.replace(theirs, mine)
            cross = name.rpartition("multihead_attn.in_proj_")
            if cross[1]:
                query, rest = (own[f"{cross[0]}cross_attention.{part}.{cross[2]}"] for part in ("query", "key_value"))
                parameter.data.copy_(torch.cat([query, rest]))
            else:
                parameter.data.copy_(own[name])


@ORDERS
def test_against_pytorch(order: str) -> None:
    ours = chance_model(norm_order=order)
    encoder, decoder = pytorch_stacks(ours.config)
    give_weights(ours, encoder, decoder)
    source, documents = filled_up()
    targets = tokens_of(3, 9, 8)
    future = torch.ones(9, 9, dtype=torch.bool).triu(1)
    with torch.no_grad():
        memory = encoder(ours.embed(source), src_key_padding_mask=documents == 0)
        there = decoder(ours.embed(targets), memory, tgt_mask=future, memory_key_padding_mask=documents == 0)
        reading = ours.read(source, documents)
        real = documents == 1
        torch.testing.assert_close(reading.states[real], memory[real], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.hidden(targets, reading), there, rtol=1e-4, atol=1e-5)
        expected = there @ ours.token_embedding.weight.T
        torch.testing.assert_close(ours(targets, source, documents), expected, rtol=1e-4, atol=1e-4)


@ORDERS
@pytest.mark.parametrize("pieces", [(24,), (1,) * 24, (10, 1, 1, 12)])
def test_cached_equals_uncached(order: str, pieces: tuple[int, ...]) -> None:
    model, targets = chance_model(norm_order=order), tokens_of(3, 24, 9)
    source, documents = filled_up()
    with torch.inference_mode():
        reading, cache = model.read(source, documents), model.new_cache(3)
        whole = model.hidden(targets, reading)
        for _ in range(2):  # and again after it was cleared
            parts = [model.hidden(part, reading, cache) for part in targets.split(pieces, dim=1)]
            assert cache.length == 24
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)
            cache.clear()


def test_the_source_is_worked_into_the_cache_once() -> None:
    model = chance_model()
    source, documents = filled_up()
    reading, cache = model.read(source, documents), model.new_cache(3)
    with torch.inference_mode():
        model.hidden(tokens_of(3, 1), reading, cache)
        held = sum(part.numel() for layer in cache.layers for part in (layer.keys, layer.values, *(layer.other or ())))
        first = model.hidden(tokens_of(3, 1), reading, cache)
        cache.clear()
        model.hidden(tokens_of(3, 1), reading, cache)
        nothing = reading._replace(states=torch.full_like(reading.states, float("nan")))
        torch.testing.assert_close(model.hidden(tokens_of(3, 1), nothing, cache), first)
    of_a_source_as_long = held + 2 * 2 * 3 * 32 * (24 - source.shape[1])
    assert of_a_source_as_long == 3 * CONFIG.cached_numbers()


def test_rows_of_a_cache_can_be_chosen() -> None:
    """Texts go on from others, some twice, some not at all."""
    model, targets = chance_model(), tokens_of(3, 8, 9)
    source, documents = filled_up()
    chosen = torch.tensor([2, 0, 0, 1, 2])
    with torch.inference_mode():
        reading, cache = model.read(source, documents), model.new_cache(3)
        model.hidden(targets[:, :5], reading, cache)
        cache.select(torch.tensor([1, 0, 2]))  # as many: in place
        cache.select(torch.tensor([1, 0, 2]))
        cache.select(chosen)
        found = model.hidden(targets[chosen, 5:], reading.select(chosen), cache)
        torch.testing.assert_close(found, model.hidden(targets, reading)[chosen, 5:], rtol=1e-4, atol=1e-5)


@ORDERS
@pytest.mark.parametrize("kernel", ["fused", "explicit"])
def test_what_fills_up_a_batch_changes_nothing(order: str, kernel: str) -> None:
    model, targets = chance_model(norm_order=order), tokens_of(3, 9, 8)
    use_attention(model, kernel)
    source, documents = filled_up()
    with torch.inference_mode():
        together = model(targets, source, documents)
        for row, length in enumerate(LENGTHS):
            alone = model(targets[row : row + 1, : length + 1], source[row : row + 1, :length])
            torch.testing.assert_close(together[row : row + 1, : length + 1], alone[:, :9], rtol=1e-4, atol=1e-5)
        other = source.clone()
        other[documents == 0] = 3
        torch.testing.assert_close(model(targets, other, documents), together, rtol=0, atol=0)


def test_no_token_sees_a_later_one_and_all_see_the_whole_source() -> None:
    model, source, targets = chance_model(), tokens_of(2, 7), tokens_of(2, 9, 8)
    with torch.inference_mode():
        before = model(targets, source)
        for place in (1, 5, 8):
            changed = targets.clone()
            changed[:, place:] = (changed[:, place:] + 7) % 53
            after = model(changed, source)
            torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=0)
            assert not torch.allclose(after[:, place], before[:, place])
        for place in (0, 6):
            changed = source.clone()
            changed[:, place] = (changed[:, place] + 7) % 53
            assert not (model(targets, changed) - before).abs().amax(-1).eq(0).any()


def test_weights_of_attention_can_be_taken_out() -> None:
    model, source, targets = chance_model(), tokens_of(1, 7), tokens_of(1, 4, 8)
    with torch.inference_mode():
        plain = model(targets, source)
        with watched_attention(model) as seen:
            torch.testing.assert_close(model(targets, source), plain, rtol=1e-4, atol=1e-5)
    assert [tuple(weights.shape) for weights in seen] == [(1, 4, 7, 7)] * 3 + [(1, 4, 4, 4), (1, 4, 4, 7)] * 2


def test_the_initialization_is_the_published_one() -> None:
    torch.manual_seed(1)
    model = EncoderDecoder(replace(CONFIG, width=256, feedforward_width=1024, vocabulary_size=2000))
    assert float(model.token_embedding.weight.detach().std()) == pytest.approx(1 / 16, rel=0.01)
    block = model.decoder[0]
    for matrix, inputs, outputs in (
        (block.attention.query_key_value.weight, 256, 256),
        (block.cross_attention.key_value.weight, 256, 256),
        (block.feedforward.widen.weight, 256, 1024),
        (block.feedforward.output.weight, 1024, 256),
    ):
        bound = math.sqrt(6 / (inputs + outputs))
        assert 0.99 * bound < float(matrix.detach().abs().max()) <= bound
        assert float(matrix.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert bool((parameter == (1 if name.endswith("weight") else 0)).all()), name


def test_one_embedding_serves_three_times_unless_asked_otherwise() -> None:
    model = EncoderDecoder(CONFIG)
    assert model.head.weight is model.token_embedding.weight and model.head.bias is None
    apart = EncoderDecoder(replace(CONFIG, tied_embeddings=False, logit_biases=True))
    assert apart.head.weight is not apart.token_embedding.weight and apart.head.bias.shape == (53,)


def test_labels_are_smoothed_in_training_alone() -> None:
    model = chance_model(label_smoothing=0.2, logit_biases=True)
    source, documents = filled_up()
    inputs, targets = tokens_of(3, 9, 8), tokens_of(3, 9, 10)
    targets[1, 4:] = IGNORED
    batch = Batch(inputs, targets, source=source, source_documents=documents)
    logits = model(inputs, source, documents).flatten(0, 1)
    for training, smoothing in ((False, 0.0), (True, 0.2)):
        total, count = Translation().loss(model.train(training), batch)
        expected = nn.functional.cross_entropy(
            logits, targets.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
        )
        assert int(count) == 22
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-4)


def test_settings_name_their_faults() -> None:
    assert EncoderDecoderConfig.special_tokens == (SEPARATOR,)
    for changes, key in (
        ({"heads": 5}, "model.width 32 does not divide into model.heads 5"),
        ({"label_smoothing": 1.0}, "model.label_smoothing is 1.0"),
        ({"encoder_layers": -1}, "model.encoder_layers"),
        ({"feedforward": "swiglu"}, "model.feedforward is 'swiglu'"),
    ):
        with pytest.raises(UsageError, match=key):
            replace(CONFIG, **changes)
