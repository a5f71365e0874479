"""GPT-1 (Radford et al. 2018): GPT-2's layout with the normalization behind each part. ``OpenAIGPTLMHeadModel``.

Its published tokenizer is not byte-level BPE and cannot be read here; ``--tokenizer`` takes another one.
"""

from typing import Any

from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.families import gpt2
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import GPTConfig


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings; what the library calls gelu here is GELU by a hyperbolic tangent."""
    config.demand("afn", "gelu", default="gelu")
    return gpt2.read_sizes(config) | {"norm_order": "post"}


def write(config: GPTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return gpt2.write_sizes(config) | {"afn": "gelu"}


def why_not(config: GPTConfig) -> str | None:
    """As GPT-2; and the feed-forward layers have four times the width."""
    if config.hidden_width != 4 * config.width:
        return f"model.feedforward_width is {config.feedforward_width} and not 4 x model.width"
    return gpt2.why_not(config)


GPT1 = Family(
    model_type="openai-gpt",
    architectures=("OpenAIGPTLMHeadModel", "OpenAIGPTModel"),
    prefix="transformer.",
    modules=gpt2.BLOCKS
    | {
        "token_embedding": ("transformer.tokens_embed",),
        "positions": ("transformer.positions_embed",),
        "head": ("lm_head",),
    },
    settings=gpt2.SETTINGS | {"norm_order": ("post",)},
    read=read,
    write=write,
    inputs_first=True,
    follows=gpt2.FOLLOWS,
    why_not=why_not,
)
