"""A classifier reads a text off the right place of any base, and moves what it should."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from homespun.common.configuration import flatten
from homespun.common.errors import UsageError
from homespun.layers.equal_part import EqualPart
from homespun.models.classifier import Classifier
from homespun.models.registry import build_model
from homespun.models.settings import (
    BERTConfig,
    ClassifierConfig,
    EncoderDecoderConfig,
    GPTConfig,
    LSTMConfig,
    RWKVConfig,
    TextModelConfig,
    model_settings,
)

BODIES: dict[str, TextModelConfig] = {
    "gpt": GPTConfig(vocabulary_size=40, context=16, layers=2, width=32, heads=4, key_value_heads=2),
    "gpt-2": GPTConfig(vocabulary_size=40, context=16, layers=2, width=32, heads=4, positions="learned",
                       normalization="layer", feedforward="gelu", biases=True, tied_embeddings=False),
    "lstm": LSTMConfig(vocabulary_size=40, context=16, layers=2, width=32),
    "rwkv": RWKVConfig(vocabulary_size=40, context=16, layers=2, width=32),
    "bert": BERTConfig(vocabulary_size=40, context=16, layers=2, width=32, next_sentence=True),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", BODIES)
LABELS = ("a", "b", "c")
LENGTHS = (16, 9, 1)


def config_of(name: str, **changes: Any) -> ClassifierConfig:
    return replace(ClassifierConfig(body=BODIES[name], labels=LABELS), **changes)


def test_a_head_without_a_bias_is_a_matrix_alone() -> None:
    model = build_model(config_of("gpt", head_bias=False)).eval()
    tokens, documents = batch_of(0)
    with torch.inference_mode():
        last = model.body.hidden(tokens[:1])[0, -1]  # (C)
        torch.testing.assert_close(model(tokens, documents)[0], model.head.weight @ last, rtol=1e-4, atol=1e-5)
    assert "head.bias" not in dict(model.named_parameters())


def batch_of(padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three texts of different lengths, filled up with ``padding``."""
    tokens = torch.randint(40, (3, 16), generator=torch.Generator().manual_seed(1))
    documents = (torch.arange(16) < torch.tensor(LENGTHS)[:, None]).long()
    return torch.where(documents > 0, tokens, padding), documents


@EVERY
def test_padding_is_never_read(name: str) -> None:
    torch.manual_seed(1)
    model = build_model(config_of(name)).eval()
    with torch.inference_mode():
        found = model(*batch_of(0))
        assert found.shape == (3, 3)
        torch.testing.assert_close(model(*batch_of(39)), found)
        for row, length in enumerate(LENGTHS):
            tokens, documents = (part[row : row + 1, :length] for part in batch_of(0))
            torch.testing.assert_close(model(tokens, documents)[0], found[row], rtol=1e-4, atol=1e-5)


@EVERY
def test_it_is_read_off_the_last_token_or_the_first_of_an_encoder(name: str) -> None:
    torch.manual_seed(1)
    body = build_model(BODIES[name]).eval()
    model = Classifier(config_of(name), body).eval()
    tokens, documents = batch_of(0)
    with torch.inference_mode():
        found = model(tokens, documents)
        for row, length in enumerate(LENGTHS):
            hidden = body.hidden(tokens[row : row + 1, :length])[0, 0 if name == "bert" else -1]
            torch.testing.assert_close(found[row], model.head(hidden), rtol=1e-4, atol=1e-5)


@EVERY
def test_its_body_is_the_base_without_what_makes_tokens(name: str) -> None:
    base = dict(build_model(BODIES[name]).named_parameters())
    names = {key.removeprefix("body.") for key, _ in build_model(config_of(name)).named_parameters()}
    assert names - base.keys() == {"head.weight", "head.bias"} - base.keys()
    makes_tokens = ("head", "transform", "next_sentence")
    assert base.keys() - names == {key for key in base if key.startswith(makes_tokens)} - {"head.weight", "head.bias"}


@pytest.mark.parametrize("trained", ["full", "last-layers", "lora", "head"])
@EVERY
def test_only_what_should_move_has_gradients(name: str, trained: str) -> None:
    if (name, trained) == ("lstm", "lora"):
        with pytest.raises(UsageError, match="lstm of width 32 has no linear layer"):
            build_model(config_of(name, trained=trained))
        return
    torch.manual_seed(1)
    model = build_model(config_of(name, trained=trained, lora_rank=2))
    model(*batch_of(0)).square().sum().backward()
    moving = {key for key, parameter in model.named_parameters() if parameter.grad is not None}
    of_body = {key for key in moving if key.startswith("body.")}
    assert {"head.weight", "head.bias"} <= moving
    if trained == "full":
        assert any("embedding" in key for key in of_body)
    if trained == "head":
        assert not of_body
    if trained == "lora":
        assert of_body and all(key.endswith((".up", ".down")) for key in of_body)
    if trained == "last-layers":
        layers = [module for module in model.modules() if isinstance(module, EqualPart)]
        assert all(parameter.requires_grad for parameter in layers[-1].parameters())
        assert not any(parameter.requires_grad for parameter in layers[0].parameters())
        assert not model.body.token_embedding.weight.requires_grad


def test_the_settings_of_both_are_one_record() -> None:
    config = config_of("gpt-2", trained="lora", class_weights=(1.0, 2.0, 0.5), length=12)
    flat = flatten(config)
    assert flat["body.positions"] == "learned" and flat["width"] == 32 and flat["labels"] == LABELS
    as_json = {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}
    assert model_settings(as_json) == config


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"architecture": "classifier", "body.architecture": "vit"}, "no place of it"),
        ({"architecture": "gpt", "body.width": 8}, "model.body.width is no setting of gpt"),
        ({"architecture": "classifier", "body": 3}, "model.body is no setting"),
        ({"architecture": "classifier", "body.breadth": 8}, "model.breadth is no setting of gpt"),
        ({"architecture": "classifier", "summary": "all"}, "choose one of token, mean"),
        ({"architecture": "classifier", "labels": ["a"], "class_weights": [1.0, 2.0]}, "2 numbers for 1 labels"),
        ({"architecture": "classifier", "lora_dropout": 1.0}, "model.lora_dropout"),
        ({"architecture": "classifier", "lora_rank": 0}, "model.lora_rank"),
        ({"architecture": "classifier", "trained": "some"}, "choose one of full, last-layers, lora, head"),
    ],
)
def test_settings_that_cannot_be_are_one_line(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        model_settings(values)
    assert said in str(error.value)


def test_an_encoder_with_a_decoder_is_no_base() -> None:
    with pytest.raises(UsageError, match="encoder_decoder cannot be finetuned to classify"):
        ClassifierConfig(body=EncoderDecoderConfig())


def test_an_endless_body_reads_a_long_text_at_once_and_others_in_windows() -> None:
    endless, other = config_of("lstm", length=60), config_of("gpt", length=60)
    assert (endless.window, endless.windows, endless.positions_in_row) == (60, 1, 60)
    assert (other.window, other.windows, other.positions_in_row) == (16, 4, 64)
    assert other.row_lengths == 2 + 3  # 8, 16, and up to four windows


@pytest.mark.parametrize("summary", ["token", "mean"])
@EVERY
def test_a_long_text_is_the_mean_of_what_its_windows_say(name: str, summary: str) -> None:
    """Naively: every window alone; all its tokens, or the one that has seen it; then the mean."""
    torch.manual_seed(1)
    body = build_model(BODIES[name]).eval()
    model = Classifier(config_of(name, summary=summary, length=16 if name in ("lstm", "rwkv") else 64), body).eval()
    window = model.config.window
    tokens = torch.randint(40, (3, 4 * window), generator=torch.Generator().manual_seed(1))
    lengths = [4 * window, 2 * window + 5, 7]
    documents = (torch.arange(4 * window) < torch.tensor(lengths)[:, None]).long()
    with torch.inference_mode():
        found = model(tokens, documents)
        for row, length in enumerate(lengths):
            read = [body.hidden(part[None])[0] for part in tokens[row, :length].split(window)]
            if summary == "token":
                read = [part[:1] if name == "bert" else part[-1:] for part in read]
            expected = model.head(torch.cat(read).mean(0))
            torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)
