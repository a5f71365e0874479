"""Qwen3 (Yang et al. 2025), homespun's own default shape: normalized queries and keys. ``Qwen3ForCausalLM``."""

from typing import Any

from homespun.interchange.huggingface import modern
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import GPTConfig

HEAD_WIDTH = 128


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings."""
    config.demand("attention_bias", False, default=False)
    settings = modern.read_common(config, key_value_heads=32, head_width=HEAD_WIDTH)
    return settings | {"query_key_norm": True} | modern.read_window(config, settings["layers"])


def write(config: GPTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return modern.write_common(config) | {"attention_bias": False} | modern.write_window(config)


QWEN3 = Family(
    model_type="qwen3",
    architectures=("Qwen3ForCausalLM", "Qwen3Model"),
    prefix="model.",
    modules=modern.MODULES
    | {
        "blocks.{}.attention.query_norm": ("model.layers.{}.self_attn.q_norm",),
        "blocks.{}.attention.key_norm": ("model.layers.{}.self_attn.k_norm",),
    },
    settings=modern.SETTINGS | {"biases": (False,), "query_key_norm": (True,), "query_key_value_biases": (False,)},
    read=read,
    write=write,
    follows=modern.FOLLOWS,
)
