"""Mistral (Jiang et al. 2023): Llama's parts, and every layer looks back on a window. ``MistralForCausalLM``."""

from typing import Any

from homespun.interchange.huggingface import modern
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import GPTConfig

KEY_VALUE_HEADS = 8
WINDOW = 4096  # where the key is missing; null is no window


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings."""
    settings = modern.read_common(config, key_value_heads=KEY_VALUE_HEADS)
    kinds = config.get("layer_types", None)
    if kinds is not None:
        raise config.refuse("layer_types", kinds, "the window of Mistral in all layers alike")
    none = "sliding_window" in config.values and config.values["sliding_window"] is None
    return settings | {"window": 0 if none else config.whole("sliding_window", WINDOW)}


def write(config: GPTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return modern.write_common(config) | {"sliding_window": config.window or None}


MISTRAL = Family(
    model_type="mistral",
    architectures=("MistralForCausalLM", "MistralModel"),
    prefix="model.",
    modules=modern.MODULES,
    settings=modern.SETTINGS
    | {"biases": (False,), "query_key_norm": (False,), "query_key_value_biases": (False,), "window_every": (1,)},
    read=read,
    write=write,
    follows=modern.FOLLOWS,
)
