"""Published shapes by name, for ``--preset``: exact sizes, so that weights fit and a paper's figures can be worked out.

GPT-1: Radford et al. 2018, section 4.1. GPT-2: Radford et al. 2019, table 2. GPT-3: Brown et al. 2020, table 2.1; its
layers alternate between dense and locally banded attention (section 2.1), whose width it does not tell: 128 is that of
the Sparse Transformer (Child et al. 2019), which it refers to. Llama 2: Touvron et al. 2023. Mistral: Jiang et al.
2023. Mixtral: Jiang et al. 2024. BERT: Devlin et al. 2019, section 3, with the vocabulary of its English models without
capitals. The encoder-decoder: Vaswani et al. 2017, table 3, with its vocabulary of about 37,000; it tells no context.
Qwen3: Yang et al. 2025, with the sizes of its published configurations. Vision transformers: Dosovitskiy et al. 2021,
table 1, with the patches of their names there (B/16, L/16, H/14) and the classes of ImageNet. RWKV-7: Peng et al. 2025,
the "World" models. Imports no torch.
"""

from collections.abc import Mapping
from typing import Any

from homespun.common.errors import UsageError

Shape = Mapping[str, Any]

GPT1: Shape = {
    "architecture": "gpt", "vocabulary_size": 40_478, "context": 512, "layers": 12, "width": 768, "heads": 12,
    "positions": "learned", "normalization": "layer", "norm_order": "post", "feedforward": "gelu", "biases": True,
    "query_key_norm": False, "norm_epsilon": 1e-5, "dropout": 0.1,
}  # fmt: skip
GPT2: Shape = dict(GPT1) | {"vocabulary_size": 50_257, "context": 1024, "norm_order": "pre"}
GPT3: Shape = dict(GPT2) | {"context": 2048, "window": 128, "window_every": 2}
BERT: Shape = {
    "architecture": "bert", "vocabulary_size": 30_522, "context": 512, "layers": 12, "width": 768, "heads": 12,
    "dropout": 0.1, "next_sentence": True,
}  # fmt: skip
LLAMA2: Shape = {
    "architecture": "gpt", "vocabulary_size": 32_000, "context": 4096, "layers": 32, "width": 4096, "heads": 32,
    "feedforward_width": 11_008, "query_key_norm": False, "tied_embeddings": False, "norm_epsilon": 1e-5,
}  # fmt: skip
QWEN3: Shape = {
    "architecture": "gpt", "vocabulary_size": 151_936, "context": 40_960, "key_value_heads": 8, "head_width": 128,
    "rotary_base": 1e6,
}  # fmt: skip
VIT: Shape = {
    "architecture": "vit", "image_size": 224, "channels": 3, "classes": 1000, "patch_size": 16, "layers": 12,
    "width": 768, "heads": 12,
}  # fmt: skip

TRANSFORMER: Shape = {
    "architecture": "encoder_decoder", "vocabulary_size": 37_000, "context": 512, "layers": 6, "width": 512, "heads": 8,
    "dropout": 0.1,
}  # fmt: skip
RWKV7: Shape = {"architecture": "rwkv", "vocabulary_size": 65_536, "context": 4096, "layers": 24, "width": 2048}


def gpt3(layers: int, width: int, heads: int) -> Shape:
    """One row of table 2.1.

    Two rows of it do not make the parameters that table D.1 counts (1,320 and 12,850 million): the 24 heads of the 1.3B
    model are 16 here, and the 5,140 channels of the 13B model are 5,120.
    """
    return dict(GPT3) | {"layers": layers, "width": width, "heads": heads}


def gpt2(layers: int, width: int, heads: int) -> Shape:
    """One row of table 2."""
    return dict(GPT2) | {"layers": layers, "width": width, "heads": heads}


def qwen3(layers: int, width: int, heads: int, feedforward_width: int, tied: bool) -> Shape:
    """One of the dense models."""
    sizes = {"layers": layers, "width": width, "heads": heads, "feedforward_width": feedforward_width}
    return dict(QWEN3) | sizes | {"tied_embeddings": tied}


PRESETS: dict[str, Shape] = {
    "gpt1": GPT1,
    "gpt2": GPT2,
    "gpt2-medium": gpt2(24, 1024, 16),
    "gpt2-large": gpt2(36, 1280, 20),
    "gpt2-xl": gpt2(48, 1600, 25),
    "gpt3-125m": gpt3(12, 768, 12),
    "gpt3-350m": gpt3(24, 1024, 16),
    "gpt3-760m": gpt3(24, 1536, 16),
    "gpt3-1.3b": gpt3(24, 2048, 16),
    "gpt3-2.7b": gpt3(32, 2560, 32),
    "gpt3-6.7b": gpt3(32, 4096, 32),
    "gpt3-13b": gpt3(40, 5120, 40),
    "gpt3-175b": gpt3(96, 12_288, 96),
    "transformer-base": TRANSFORMER,
    "transformer-big": dict(TRANSFORMER) | {"width": 1024, "heads": 16, "dropout": 0.3},
    "llama2-7b": LLAMA2,
    "llama2-13b": dict(LLAMA2) | {"layers": 40, "width": 5120, "heads": 40, "feedforward_width": 13_824},
    "mistral-7b": dict(LLAMA2) | {"context": 32_768, "key_value_heads": 8, "feedforward_width": 14_336, "window": 4096},
    "qwen3-0.6b": qwen3(28, 1024, 16, 3072, True),
    "qwen3-1.7b": qwen3(28, 2048, 16, 6144, True),
    "qwen3-4b": qwen3(36, 2560, 32, 9728, True),
    "qwen3-8b": qwen3(36, 4096, 32, 12_288, False),
    "qwen3-30b-a3b": dict(qwen3(48, 2048, 32, 6144, False))
    | {"key_value_heads": 4, "experts": 128, "experts_per_token": 8, "expert_width": 768},
    "mixtral-8x7b": dict(LLAMA2)
    | {"context": 32_768, "key_value_heads": 8, "feedforward_width": 14_336, "rotary_base": 1e6, "experts": 8},
    "rwkv7-0.1b": dict(RWKV7) | {"layers": 12, "width": 768},
    "rwkv7-0.4b": dict(RWKV7) | {"width": 1024, "gate_rank": 128},
    "rwkv7-1.5b": RWKV7,
    "rwkv7-2.9b": dict(RWKV7) | {"layers": 32, "width": 2560},
    "bert-base": BERT,
    "bert-large": dict(BERT) | {"layers": 24, "width": 1024, "heads": 16},
    "vit-base": VIT,
    "vit-large": dict(VIT) | {"layers": 24, "width": 1024, "heads": 16},
    "vit-huge": dict(VIT) | {"layers": 32, "width": 1280, "heads": 16, "patch_size": 14},
}


def preset(name: str) -> Shape:
    """The settings of a published shape; ``UsageError`` for a name that is not there."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
