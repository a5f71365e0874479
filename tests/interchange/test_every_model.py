"""Every model of the registry in every format: it comes back to the bit, or one line says why it cannot be had.

A new architecture, or a new format, is a new row or column of the table below: without it the first test fails.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.common.errors import HomespunError
from homespun.common.progress import Silent
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS, recognize
from homespun.interchange.kinds import KINDS
from homespun.interchange.options import Reading, Writing
from homespun.models.registry import MODELS, build_model
from homespun.models.settings import (
    BERTConfig,
    ClassifierConfig,
    EncoderDecoderConfig,
    GPTConfig,
    LSTMConfig,
    ModelConfig,
    RWKVConfig,
    TextModelConfig,
    ViTConfig,
)
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interchange.conftest import MERGES, randomize

# Sizes that have a default are named where a format spells it out.
GPT = GPTConfig(context=24, layers=2, width=32, heads=4, key_value_heads=2, head_width=8, feedforward_width=72)
PAIRS = EncoderDecoderConfig(context=24, layers=2, encoder_layers=3, width=32, heads=4, feedforward_width=72)
BERT = BERTConfig(context=24, layers=2, width=32, heads=4, feedforward_width=72)
ViT = ViTConfig(image_size=8, patch_size=2, channels=3, classes=5, layers=2, width=32, heads=4, feedforward_width=72)
# For each model what speaks against each format: None where nothing does.
CASES: dict[str, tuple[ModelConfig, dict[str, str | None]]] = {
    "gpt": (GPT, {
        "huggingface": None,
        "gguf": None,
        "safetensors": None,
        "rwkv": "--format rwkv is for model.architecture rwkv, this is gpt",
    }),
    "gpt, parts of its own": (replace(GPT, feedforward="relu2", logit_softcap=15.0), {
        "huggingface": "model.feedforward is relu2 and not swiglu and model.logit_softcap is 15.0 and not 0.0",
        "gguf": "model.feedforward = 'relu2'",
        "safetensors": None,
        "rwkv": "this is gpt",
    }),
    "gpt, experts": (replace(GPT, experts=4, experts_per_token=2, expert_width=24), {
        "huggingface": "model.experts is 4 and not 0",
        "gguf": "model.experts = 4",
        "safetensors": None,
        "rwkv": "this is gpt",
    }),
    "lstm": (LSTMConfig(context=24, layers=2, width=32), {
        "huggingface": "model.architecture is lstm",
        "gguf": "a model of the architecture lstm cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is lstm",
    }),
    "bert": (BERT, {
        "huggingface": None,
        "gguf": "a model of the architecture bert cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is bert",
    }),
    "bert, a head of its own": (replace(BERT, next_sentence=True, tied_embeddings=False), {
        "huggingface": "model.tied_embeddings is False and not True",
        "gguf": "a model of the architecture bert cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is bert",
    }),
    "rwkv": (RWKVConfig(context=24, layers=2, width=32, head_width=16), {
        "huggingface": "model.architecture is rwkv",
        "gguf": "a model of the architecture rwkv cannot be written as GGUF",
        "safetensors": None,
        "rwkv": None,
    }),
    "vit": (ViT, {
        "huggingface": None,
        "gguf": "a model of the architecture vit cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is vit",
    }),
    "vit, named classes": (replace(ViT, channels=1, labels=("0", "1", "a crane", "a crane", "Öl")), {
        "huggingface": None,
        "gguf": "a model of the architecture vit cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is vit",
    }),
    "encoder_decoder": (PAIRS, {
        "huggingface": "model.logit_biases is False and not True",
        "gguf": "a model of the architecture encoder_decoder cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is encoder_decoder",
    }),
    "classifier": (ClassifierConfig(body=GPT, labels=("a", "b"), head_bias=False, dropout=0.0, length=20), {
        "huggingface": None,
        "gguf": "a model of the architecture classifier cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is classifier",
    }),
    "classifier, an encoder": (ClassifierConfig(body=BERT, labels=("a", "b", "Öl")), {
        "huggingface": None,
        "gguf": "a model of the architecture classifier cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is classifier",
    }),
    "encoder_decoder, Marian's": (replace(PAIRS, logit_biases=True), {
        "huggingface": None,
        "gguf": "a model of the architecture encoder_decoder cannot be written as GGUF",
        "safetensors": None,
        "rwkv": "this is encoder_decoder",
    }),
}  # fmt: skip


# Of another finetuned model the plain one that is left of it is exported; tests/pipeline has a test of each.
FINETUNED = {"assistant", "paired", "preferred", "continued"}


def test_every_architecture_and_every_format_is_here() -> None:
    assert {config.architecture for config, _ in CASES.values()} == set(MODELS) - FINETUNED
    assert all(reasons.keys() == FORMATS.keys() for _, reasons in CASES.values())
    assert {config.reads for config, _ in CASES.values()} == set(KINDS)


def with_inputs(config: ModelConfig) -> tuple[ModelConfig, Any]:
    """The configuration of a model, and what makes its inputs."""
    if isinstance(config, ClassifierConfig):
        body, tokenizer = with_inputs(config.body)
        return replace(config, body=body), tokenizer
    if not isinstance(config, TextModelConfig):
        return config, None
    tokenizer = Tokenizer("gpt2", MERGES, tuple(dict.fromkeys((*DEFAULT_SPECIAL_TOKENS, *config.special_tokens))))
    return replace(config, vocabulary_size=tokenizer.vocabulary_size), tokenizer


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_it_comes_back_or_says_why_not(name: str, format_name: str, tmp_path: Path) -> None:
    config, inputs = with_inputs(CASES[name][0])
    model, out = randomize(build_model(config)), tmp_path / "out"
    told: list[str] = []
    if reason := CASES[name][1][format_name]:
        with pytest.raises(HomespunError) as raised:
            export_model(model, inputs, FORMATS[format_name], out, Writing(warn=told.append), Silent())
        assert reason in str(raised.value) and "\n" not in str(raised.value)
        assert list(tmp_path.iterdir()) == []
        return
    done = export_model(model, inputs, FORMATS[format_name], out, Writing(warn=told.append), Silent())
    assert done.verified.exact and done.verified.difference == 0
    assert recognize(out).name == format_name
    found = recognize(out).read(out, Reading(warn=told.append))
    assert found.config == config
    assert found.tensors.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(found.tensors[key], tensor) for key, tensor in model.named_parameters())
    record = KINDS[config.reads].record
    assert record(found.inputs) == record(inputs)
    assert not told
