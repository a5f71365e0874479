"""GPT-2 (Radford et al. 2019): ``GPT2LMHeadModel``, and the variables of OpenAI's own checkpoint.

Matrices of blocks are stored as (inputs, outputs). OpenAI's names (``model/h0/attn/c_attn/w``, in TensorFlow) have the
same numbers in the same layout, but for an axis of length one; its settings are in ``hparams.json``.
"""

import re
from typing import Any

from homespun.interchange.huggingface.config_file import LONGEST_CONTEXT, MOST_LAYERS, ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import GPTConfig

BLOCK = "transformer.h.{}."
VARIABLE = re.compile(r"model/(?:h(?P<block>\d+)/)?(?P<path>[\w/]+?)(?:/(?P<kind>[wbg]))?(?::0)?")
KINDS = {"w": "weight", "g": "weight", "b": "bias", None: "weight"}
HPARAMS = {
    "n_vocab": "vocab_size",
    "n_ctx": "n_positions",
    "n_embd": "n_embd",
    "n_head": "n_head",
    "n_layer": "n_layer",
}
# "gelu_new" and the others are one function: GELU by a hyperbolic tangent.
ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
# Of our settings, what GPT-2 has no word for.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "architecture": ("gpt",),
    "positions": ("learned",),
    "normalization": ("layer",),
    "norm_order": ("pre",),
    "feedforward": ("gelu",),
    "biases": (True,),
    "query_key_norm": (False,),
    "window": (0,),
    "experts": (0,),
    "value_embeddings": (0,),
    "logit_softcap": (0.0,),
}
BLOCKS = {
    "blocks.{}.attention_norm": (BLOCK + "ln_1",),
    "blocks.{}.attention.query_key_value": (BLOCK + "attn.c_attn",),
    "blocks.{}.attention.output": (BLOCK + "attn.c_proj",),
    "blocks.{}.feedforward_norm": (BLOCK + "ln_2",),
    "blocks.{}.feedforward.widen": (BLOCK + "mlp.c_fc",),
    "blocks.{}.feedforward.output": (BLOCK + "mlp.c_proj",),
}
FOLLOWS = r"\.attn\.(bias|masked_bias)$"  # older files keep the causal mask


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings."""
    config.demand("activation_function", *ACTIVATIONS, default=ACTIVATIONS[0])
    config.demand("scale_attn_weights", True, default=True)
    config.demand("scale_attn_by_inverse_layer_idx", False, default=False)
    config.demand("add_cross_attention", False, default=False)
    return read_sizes(config) | {"feedforward_width": config.whole("n_inner", 4 * config.whole("n_embd"))}


def read_sizes(config: ConfigFile) -> dict[str, Any]:
    """What GPT-1 and GPT-2 have in common."""
    dropouts = {config.number(key, 0.1) for key in DROPOUTS}
    return {
        "architecture": "gpt",
        "vocabulary_size": config.whole("vocab_size"),
        "context": config.whole("n_positions", most=LONGEST_CONTEXT),
        "layers": config.whole("n_layer", most=MOST_LAYERS),
        "width": config.whole("n_embd"),
        "heads": config.whole("n_head"),
        "positions": "learned",
        "normalization": "layer",
        "feedforward": "gelu",
        "biases": True,
        "query_key_norm": False,
        "tied_embeddings": config.flag("tie_word_embeddings", True),
        "norm_epsilon": config.number("layer_norm_epsilon", 1e-5),
        "dropout": dropouts.pop() if len(dropouts) == 1 else 0.0,
    }


def write(config: GPTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return write_sizes(config) | {"n_inner": config.hidden_width, "activation_function": ACTIVATIONS[0]}


def write_sizes(config: GPTConfig) -> dict[str, Any]:
    """What GPT-1 and GPT-2 have in common."""
    return {
        "vocab_size": config.vocabulary_size,
        "n_positions": config.context,
        "n_ctx": config.context,
        "n_layer": config.layers,
        "n_embd": config.width,
        "n_head": config.heads,
        "layer_norm_epsilon": config.norm_epsilon,
        "tie_word_embeddings": config.tied_embeddings,
        **dict.fromkeys(DROPOUTS, config.dropout),
    }


def why_not(config: GPTConfig) -> str | None:
    """GPT-2's heads divide its width, and all have keys of their own."""
    if config.heads * config.width_of_head != config.width:
        return f"model.head_width is {config.head_width} and not model.width / model.heads"
    if config.count_of_key_value_heads != config.heads:
        return f"model.key_value_heads is {config.key_value_heads} and not model.heads"
    return None


def rename(name: str) -> str:
    """OpenAI's variable -> the name in Hugging Face's library; other names stay as they are."""
    found = VARIABLE.fullmatch(name)
    if not found:
        return name
    block = BLOCK.format(found["block"]) if found["block"] else "transformer."
    return f"{block}{found['path'].replace('/', '.')}.{KINDS[found['kind']]}"


def config_of_hparams(values: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's ``hparams.json`` -> ``config.json``; there was no dropout in it."""
    renamed = {HPARAMS[key]: value for key, value in values.items() if key in HPARAMS}
    return {"model_type": "gpt2"} | renamed | dict.fromkeys(DROPOUTS, 0.0)


GPT2 = Family(
    model_type="gpt2",
    architectures=("GPT2LMHeadModel", "GPT2Model"),
    prefix="transformer.",
    modules=BLOCKS
    | {
        "token_embedding": ("transformer.wte",),
        "positions": ("transformer.wpe",),
        "final_norm": ("transformer.ln_f",),
        "head": ("lm_head",),
    },
    settings=SETTINGS,
    read=read,
    write=write,
    inputs_first=True,
    rename=rename,
    follows=FOLLOWS,
    why_not=why_not,
)
