"""Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's parts, biases on queries, keys and values. ``Qwen2ForCausalLM``."""

from typing import Any

from homespun.interchange.huggingface import modern
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import GPTConfig


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings."""
    settings = modern.read_common(config, key_value_heads=32)
    return settings | {"query_key_value_biases": True} | modern.read_window(config, settings["layers"])


def write(config: GPTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return modern.write_common(config) | modern.write_window(config)


QWEN2 = Family(
    model_type="qwen2",
    architectures=("Qwen2ForCausalLM", "Qwen2Model"),
    prefix="model.",
    modules=modern.MODULES,
    settings=modern.SETTINGS | {"biases": (False,), "query_key_norm": (False,), "query_key_value_biases": (True,)},
    read=read,
    write=write,
    follows=modern.FOLLOWS,
)
