"""Marian (Junczys-Dowmunt et al. 2018), the encoder-decoder of 2017 with a bias on its logits: ``MarianMTModel``.

Its published tokenizers are SentencePiece's and cannot be read here; ``--tokenizer`` takes another one. The library
computes the sinusoidal positions by itself, and only with the normalization behind each part.
"""

from typing import Any

from homespun.interchange.huggingface.config_file import LONGEST_CONTEXT, MOST_LAYERS, ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import EncoderDecoderConfig

OF_BOTH = {
    "attention_norm": ("self_attn_layer_norm",),
    "attention.query_key_value": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.output": ("self_attn.out_proj",),
    "feedforward_norm": ("final_layer_norm",),
    "feedforward.widen": ("fc1",),
    "feedforward.output": ("fc2",),
}
OF_DECODER = {
    "cross_norm": ("encoder_attn_layer_norm",),
    "cross_attention.query": ("encoder_attn.q_proj",),
    "cross_attention.key_value": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_attention.output": ("encoder_attn.out_proj",),
}
MODULES = {
    f"{stack}.{{}}.{ours}": tuple(f"model.{stack}.layers.{{}}.{name}" for name in theirs)
    for stack, layers in (("encoder", OF_BOTH), ("decoder", OF_BOTH | OF_DECODER))
    for ours, theirs in layers.items()
}
# Of our settings, what Marian has no word for.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "architecture": ("encoder_decoder",),
    "norm_order": ("post",),
    "feedforward": ("relu", "swish"),
    "biases": (True,),
    "logit_biases": (True,),
    "tied_embeddings": (True,),
    "norm_epsilon": (1e-5,),
}


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings."""
    for key, value in (
        ("scale_embedding", True),
        ("share_encoder_decoder_embeddings", True),
        ("tie_word_embeddings", True),
        ("normalize_before", False),
        ("normalize_embedding", False),
        ("add_final_layer_norm", False),
    ):
        config.demand(key, value, default=value)
    config.demand("activation_function", "swish", "silu", "relu", default="gelu")
    heads, hidden = config.whole("encoder_attention_heads", 16), config.whole("encoder_ffn_dim", 4096)
    vocabulary_size = config.whole("vocab_size", 58_101)
    config.demand("decoder_attention_heads", heads, default=16)
    config.demand("decoder_ffn_dim", hidden, default=4096)
    config.demand("decoder_vocab_size", vocabulary_size, default=vocabulary_size)
    return {
        "architecture": "encoder_decoder",
        "vocabulary_size": vocabulary_size,
        "context": config.whole("max_position_embeddings", 1024, most=LONGEST_CONTEXT),
        "layers": config.whole("decoder_layers", 12, most=MOST_LAYERS),
        "encoder_layers": config.whole("encoder_layers", 12, most=MOST_LAYERS),
        "width": config.whole("d_model", 1024),
        "heads": heads,
        "feedforward_width": hidden,
        "feedforward": "relu" if config.get("activation_function", None) == "relu" else "swish",
        "norm_order": "post",
        "biases": True,
        "logit_biases": True,
        "tied_embeddings": True,
        "norm_epsilon": 1e-5,
        "dropout": config.number("dropout", 0.1),
    }


def write(config: EncoderDecoderConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return {
        "is_encoder_decoder": True,
        "vocab_size": config.vocabulary_size,
        "decoder_vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context,
        "d_model": config.width,
        "encoder_layers": config.count_of_encoder_layers,
        "decoder_layers": config.layers,
        "encoder_attention_heads": config.heads,
        "decoder_attention_heads": config.heads,
        "encoder_ffn_dim": config.hidden_width,
        "decoder_ffn_dim": config.hidden_width,
        "activation_function": config.feedforward,
        "scale_embedding": True,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
        "dropout": config.dropout,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
    }


MARIAN = Family(
    model_type="marian",
    architectures=("MarianMTModel",),
    prefix="model.",
    modules=MODULES | {"token_embedding": ("model.shared",), "head": ("lm_head",), "head.bias": ("final_logits_bias",)},
    settings=SETTINGS,
    read=read,
    write=write,
    outside=("lm_head.", "final_logits_bias"),
    # The library computes the positions, and keeps the one embedding under further names.
    follows=r"(embed_positions|(encoder|decoder)\.embed_tokens)\.weight$",
    shapes={"head.bias": lambda config: (1, config.vocabulary_size)},
    ids_of_end=("decoder_start_token_id", "forced_eos_token_id"),
)
