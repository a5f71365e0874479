"""The vision transformer (Dosovitskiy et al. 2021): ``ViTForImageClassification``.

The patches' matrix is stored as a convolution, class token and positions with axes of length one before their own. A
model has other names in the memory of version 5 of the library; its files keep those of the versions before.
"""

import re
from typing import Any

from homespun.interchange.huggingface.config_file import MOST_LAYERS, ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.interchange.huggingface.labels import read_labels, unnamed, write_labels
from homespun.models.settings import ViTConfig

EMBEDDINGS, BLOCK = "vit.embeddings.", "vit.encoder.layer.{}."
MODULES = {
    "class_token": (EMBEDDINGS + "cls_token",),
    "positions.weight": (EMBEDDINGS + "position_embeddings",),
    "patches": (EMBEDDINGS + "patch_embeddings.projection",),
    "blocks.{}.attention_norm": (BLOCK + "layernorm_before",),
    "blocks.{}.attention.query_key_value": tuple(
        f"{BLOCK}attention.attention.{part}" for part in ("query", "key", "value")
    ),
    "blocks.{}.attention.output": (BLOCK + "attention.output.dense",),
    "blocks.{}.feedforward_norm": (BLOCK + "layernorm_after",),
    "blocks.{}.feedforward.widen": (BLOCK + "intermediate.dense",),
    "blocks.{}.feedforward.output": (BLOCK + "output.dense",),
    "final_norm": ("vit.layernorm",),
    "head": ("classifier",),
}
# What the library calls a part in memory since version 5 -> in files.
IN_FILES = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def name_in_files(name: str) -> str:
    """The name that a tensor has in files."""
    name, changed = re.subn(r"^(vit\.)?layers\.", "vit.encoder.layer.", name)
    for part, stored in IN_FILES.items() if changed else ():
        name = name.replace(f".{part}.", f".{stored}.")
    return name


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings."""
    config.demand("hidden_act", "gelu", default="gelu")
    config.demand("qkv_bias", True, default=True)
    labels = read_labels(config)
    return {
        "architecture": "vit",
        "image_size": config.whole("image_size", 224),
        "patch_size": config.whole("patch_size", 16),
        "channels": config.whole("num_channels", 3),
        "layers": config.whole("num_hidden_layers", 12, most=MOST_LAYERS),
        "width": config.whole("hidden_size", 768),
        "heads": config.whole("num_attention_heads", 12),
        "feedforward_width": config.whole("intermediate_size", 3072),
        "norm_epsilon": config.number("layer_norm_eps", 1e-12),
        "dropout": config.number("hidden_dropout_prob", 0.0),
        "classes": len(labels),
        "labels": () if labels == unnamed(len(labels)) else labels,
    }


def why_not(config: ViTConfig) -> str | None:
    """Names that would not come back as they are."""
    if config.labels == unnamed(config.classes) or not all(label.isprintable() for label in config.labels):
        return "model.labels has names that cannot be printed, or those that the library gives to classes without"
    return None


def write(config: ViTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    labels = config.labels or unnamed(config.classes)
    return {
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "num_channels": config.channels,
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden_width,
        "layer_norm_eps": config.norm_epsilon,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "hidden_act": "gelu",
        "qkv_bias": True,
        **write_labels(labels),
    }


VIT = Family(
    model_type="vit",
    architectures=("ViTForImageClassification",),
    prefix="vit.",
    modules=MODULES,
    settings={"architecture": ("vit",)},
    read=read,
    write=write,
    outside=("classifier.",),
    rename=name_in_files,
    why_not=why_not,
    shapes={
        "class_token": lambda config: (1, 1, config.width),
        "positions.weight": lambda config: (1, config.positions_in_row, config.width),
        "patches.weight": lambda config: (config.width, config.channels, config.patch_size, config.patch_size),
    },
)
