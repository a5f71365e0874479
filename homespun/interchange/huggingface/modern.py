"""What Llama and its successors share: the words of ``config.json``, and the names of tensors.

Touvron et al. 2023: rotary positions, RMSNorm, SwiGLU, grouped queries, no biases unless a family says so.
"""

from typing import Any

from homespun.interchange.huggingface.config_file import LONGEST_CONTEXT, MOST_LAYERS, ConfigFile
from homespun.models.settings import GPTConfig

ATTENTION = {
    "blocks.{}.attention_norm": ("model.layers.{}.input_layernorm",),
    "blocks.{}.attention.query_key_value": (
        "model.layers.{}.self_attn.q_proj",
        "model.layers.{}.self_attn.k_proj",
        "model.layers.{}.self_attn.v_proj",
    ),
    "blocks.{}.attention.output": ("model.layers.{}.self_attn.o_proj",),
}
MODULES = ATTENTION | {
    "token_embedding": ("model.embed_tokens",),
    "blocks.{}.feedforward_norm": ("model.layers.{}.post_attention_layernorm",),
    "blocks.{}.feedforward.gate_and_widen": ("model.layers.{}.mlp.gate_proj", "model.layers.{}.mlp.up_proj"),
    "blocks.{}.feedforward.output": ("model.layers.{}.mlp.down_proj",),
    "final_norm": ("model.norm",),
    "head": ("lm_head",),
}
# Of our settings, what none of these families has a word for.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "architecture": ("gpt",),
    "positions": ("rotary",),
    "normalization": ("rms",),
    "norm_order": ("pre",),
    "feedforward": ("swiglu",),
    "experts": (0,),
    "value_embeddings": (0,),
    "logit_softcap": (0.0,),
}
SLIDING, FULL = "sliding_attention", "full_attention"
FOLLOWS = r"rotary_emb\.inv_freq$"  # older files keep the frequencies of the rotation


def read_common(config: ConfigFile, key_value_heads: int | None, head_width: int | None = None) -> dict[str, Any]:
    """Our settings of a ``config.json``; the two numbers are the family's defaults (None: all heads; width / heads)."""
    config.demand("hidden_act", "silu", "swish", default="silu")
    config.demand("partial_rotary_factor", 1.0, 1, default=1.0)
    heads = config.whole("num_attention_heads")
    return {
        "architecture": "gpt",
        "vocabulary_size": config.whole("vocab_size"),
        "context": config.whole("max_position_embeddings", most=LONGEST_CONTEXT),
        "layers": config.whole("num_hidden_layers", most=MOST_LAYERS),
        "width": config.whole("hidden_size"),
        "heads": heads,
        "key_value_heads": config.whole("num_key_value_heads", key_value_heads or heads),
        "head_width": config.whole("head_dim", head_width) if config.get("head_dim", head_width) is not None else 0,
        "feedforward_width": config.whole("intermediate_size"),
        "positions": "rotary",
        "normalization": "rms",
        "feedforward": "swiglu",
        "query_key_norm": False,
        "tied_embeddings": config.flag("tie_word_embeddings", False),
        "norm_epsilon": config.number("rms_norm_eps", 1e-6),
        "rotary_base": rotary_base(config),
    }


def rotary_base(config: ConfigFile) -> float:
    """The base of plain rotary positions, where either generation of the library keeps it; scaled ones are refused."""
    for key in ("rope_scaling", "rope_parameters"):
        rotation = config.get(key, None)
        if rotation is None:
            continue
        if not isinstance(rotation, dict) or not is_plain(rotation):
            raise config.refuse(key, rotation, "plain rotary positions only, over all channels of a head")
        if "rope_theta" in rotation:
            return ConfigFile(config.path, rotation).number("rope_theta")
    return config.number("rope_theta", 10_000.0)


def is_plain(rotation: dict[str, Any]) -> bool:
    """Neither scaled, nor over a part of the channels, nor different from layer to layer."""
    kind = rotation.get("rope_type", rotation.get("type"))
    nested = any(isinstance(value, dict) for value in rotation.values())
    return kind in ("default", None) and rotation.get("partial_rotary_factor", 1.0) == 1.0 and not nested


def write_common(config: GPTConfig) -> dict[str, Any]:
    """The inverse, for both generations of the library."""
    return {
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context,
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.count_of_key_value_heads,
        "head_dim": config.width_of_head,
        "intermediate_size": config.hidden_width,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rotary_base},
        "tie_word_embeddings": config.tied_embeddings,
        "attention_dropout": 0.0,
    }


def read_window(config: ConfigFile, layers: int) -> dict[str, Any]:
    """Qwen's sliding window: off by a flag, else from some layer on, or as ``layer_types`` says for each.

    homespun has it in every so manyth layer; other orders are refused.
    """
    if not config.flag("use_sliding_window", False) or config.get("sliding_window", None) is None:
        window, slides = 0, [False] * layers
    else:
        window, first = config.whole("sliding_window"), config.get("max_window_layers", 28)
        slides = [layer >= first for layer in range(layers)] if type(first) is int else []
    kinds = config.get("layer_types", None)
    if kinds is not None:
        slides = [kind == SLIDING for kind in kinds] if isinstance(kinds, list) else []
        if len(slides) != layers or any(kind not in (SLIDING, FULL) for kind in kinds):
            raise config.refuse("layer_types", kinds, f"a list of {layers} times {FULL} or {SLIDING}")
        if any(slides) and not window:
            raise config.refuse("layer_types", kinds, "sliding layers with use_sliding_window and a sliding_window")
    if not any(slides):
        return {"window": 0}
    every = slides.index(True) + 1
    if slides != [(layer + 1) % every == 0 for layer in range(layers)]:
        key = "layer_types" if kinds is not None else "max_window_layers"
        raise config.refuse(key, config.get(key), "a window in all layers, or in every second, third …")
    return {"window": window, "window_every": every}


def write_window(config: GPTConfig) -> dict[str, Any]:
    """The inverse."""
    if not config.window:
        return {"use_sliding_window": False, "sliding_window": None, "max_window_layers": config.layers}
    banded = [bool(config.window_of_layer(layer)) for layer in range(config.layers)]
    return {
        "use_sliding_window": True,
        "sliding_window": config.window,
        "max_window_layers": 0,
        "layer_types": [SLIDING if one else FULL for one in banded],
    }
