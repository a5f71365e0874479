"""One thread, no network, and small models of every family with random weights."""

import os
import warnings
from dataclasses import replace
from types import ModuleType

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported

import pytest
import torch

from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.tokenizer.tokenizer import Tokenizer

torch.set_num_threads(1)

MERGES = [(116, 104), (256, 101), (32, 256), (105, 110), (101, 114), (32, 97), (258, 101), (261, 110), (195, 169)]
TOKENIZER = Tokenizer("gpt2", MERGES)
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>\n{% endfor %}"

MODERN = GPTConfig(
    vocabulary_size=TOKENIZER.vocabulary_size, context=40, layers=3, width=32, heads=4, key_value_heads=2,
    feedforward_width=72, query_key_norm=False, rotary_base=5e4, norm_epsilon=1e-5,
)  # fmt: skip
GPT2 = GPTConfig(
    vocabulary_size=TOKENIZER.vocabulary_size, context=40, layers=2, width=32, heads=4, positions="learned",
    normalization="layer", feedforward="gelu", biases=True, query_key_norm=False, norm_epsilon=1e-5,
)  # fmt: skip
OURS: dict[str, GPTConfig] = {
    "gpt1": replace(GPT2, norm_order="post"),
    "gpt2": GPT2,
    "gpt2-untied": replace(GPT2, tied_embeddings=False, feedforward_width=40, width=48, heads=3),
    "llama": replace(MODERN, tied_embeddings=False),
    "llama-tied-head-width": replace(MODERN, head_width=12, biases=True, key_value_heads=1),
    "qwen2": replace(MODERN, query_key_value_biases=True),
    "qwen2-window": replace(MODERN, query_key_value_biases=True, tied_embeddings=False, window=5, window_every=2),
    "qwen3": replace(MODERN, query_key_norm=True, head_width=12),
    "qwen3-window": replace(MODERN, query_key_norm=True, tied_embeddings=False, heads=6, head_width=16, window=7),
    "mistral": replace(MODERN, tied_embeddings=False, window=6),
    "mistral-tied": replace(MODERN, window=39, key_value_heads=4),
}
FAMILY_OF = {name: name.split("-")[0].replace("gpt1", "openai-gpt") for name in OURS}


def randomize(model: torch.nn.Module, seed: int = 11) -> torch.nn.Module:
    """Every weight random, gains and biases too: a part that is left out cannot hide behind ones and zeros."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            mean = 1.0 if parameter.dim() == 1 else 0.0
            parameter.copy_(mean + 0.2 * torch.randn(parameter.shape, generator=chance))
    return model.eval()


def our_model(name: str, **changes: object) -> GPT:
    """One of ours, random."""
    model = randomize(GPT(replace(OURS[name], **changes)))  # type: ignore[arg-type]
    assert isinstance(model, GPT)
    return model


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    """The reference implementation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")
