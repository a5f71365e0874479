"""Llama (Touvron et al. 2023) without scaled positions: ``LlamaForCausalLM``."""

from typing import Any

from homespun.interchange.huggingface import modern
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import GPTConfig


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings. Biases are in all linear layers, or in none."""
    biases = config.flag("attention_bias", False)
    config.demand("mlp_bias", biases, default=False)
    return modern.read_common(config, key_value_heads=None) | {"biases": biases}


def write(config: GPTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return modern.write_common(config) | {"attention_bias": config.biases, "mlp_bias": config.biases}


def why_not(config: GPTConfig) -> str | None:
    """The library refuses a Llama whose heads do not divide its width, even where their own width is given."""
    if config.width % config.heads:
        return f"model.heads is {config.heads} and does not divide model.width {config.width}"
    return None


LLAMA = Family(
    model_type="llama",
    architectures=("LlamaForCausalLM", "LlamaModel"),
    prefix="model.",
    modules=modern.MODULES,
    settings=modern.SETTINGS | {"query_key_norm": (False,), "query_key_value_biases": (False,), "window": (0,)},
    read=read,
    write=write,
    follows=modern.FOLLOWS,
    why_not=why_not,
)
