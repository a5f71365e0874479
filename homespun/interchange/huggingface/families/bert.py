"""BERT (Devlin et al. 2019): ``BertForMaskedLM``, and ``BertForPreTraining`` with the second head.

The head's matrix is the embedding, only its bias is stored. The authors' checkpoints call gains and biases of
normalizations gamma and beta; their tokenizers (WordPiece) homespun does not have.
"""

import re
from typing import Any

from homespun.interchange.huggingface.config_file import LONGEST_CONTEXT, MOST_LAYERS, ConfigFile
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import BERTConfig

EMBEDDINGS, BLOCK, HEAD = "bert.embeddings.", "bert.encoder.layer.{}.", "cls.predictions."
MASKED, BOTH = "BertForMaskedLM", "BertForPreTraining"
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
SETTINGS: dict[str, tuple[Any, ...]] = {"architecture": ("bert",), "tied_embeddings": (True,)}
MODULES = {
    "token_embedding": (EMBEDDINGS + "word_embeddings",),
    "positions": (EMBEDDINGS + "position_embeddings",),
    "segment_embedding": (EMBEDDINGS + "token_type_embeddings",),
    "embedding_norm": (EMBEDDINGS + "LayerNorm",),
    "blocks.{}.attention.query_key_value": tuple(f"{BLOCK}attention.self.{part}" for part in ("query", "key", "value")),
    "blocks.{}.attention.output": (BLOCK + "attention.output.dense",),
    "blocks.{}.attention_norm": (BLOCK + "attention.output.LayerNorm",),
    "blocks.{}.feedforward.widen": (BLOCK + "intermediate.dense",),
    "blocks.{}.feedforward.output": (BLOCK + "output.dense",),
    "blocks.{}.feedforward_norm": (BLOCK + "output.LayerNorm",),
    "transform": (HEAD + "transform.dense",),
    "transform_norm": (HEAD + "transform.LayerNorm",),
    "head": (HEAD + "decoder",),
    "head.bias": (HEAD + "bias",),
    "next_sentence.pooler": ("bert.pooler.dense",),
    "next_sentence.head": ("cls.seq_relationship",),
}
FOLLOWS = r"embeddings\.position_ids$|predictions\.decoder\.bias$"  # numbers of places, and the bias once more


def of_older_name(name: str) -> str:
    """The authors' checkpoints have TensorFlow's names of gains and biases."""
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))


def read(config: ConfigFile) -> dict[str, Any]:
    """``config.json`` -> our settings."""
    config.demand("hidden_act", "gelu", default="gelu")
    config.demand("position_embedding_type", "absolute", default="absolute")
    config.demand("type_vocab_size", 2, default=2)
    config.demand("is_decoder", False, default=False)
    config.demand("tie_word_embeddings", True, default=True)
    dropouts = {config.number(key, 0.1) for key in DROPOUTS}
    return {
        "architecture": "bert",
        "vocabulary_size": config.whole("vocab_size"),
        "context": config.whole("max_position_embeddings", most=LONGEST_CONTEXT),
        "layers": config.whole("num_hidden_layers", most=MOST_LAYERS),
        "width": config.whole("hidden_size"),
        "heads": config.whole("num_attention_heads"),
        "feedforward_width": config.whole("intermediate_size"),
        "norm_epsilon": config.number("layer_norm_eps", 1e-12),
        "dropout": dropouts.pop() if len(dropouts) == 1 else 0.0,
        "next_sentence": BOTH in config.get("architectures", []),
    }


def write(config: BERTConfig) -> dict[str, Any]:
    """Our settings -> ``config.json``."""
    return {
        "architectures": [BOTH if config.next_sentence else MASKED],
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context,
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden_width,
        "layer_norm_eps": config.norm_epsilon,
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "tie_word_embeddings": True,
        **dict.fromkeys(DROPOUTS, config.dropout),
    }


BERT = Family(
    model_type="bert",
    architectures=(MASKED, BOTH),
    prefix="bert.",
    modules=MODULES,
    settings=SETTINGS,
    read=read,
    write=write,
    outside=("cls.",),
    rename=of_older_name,
    follows=FOLLOWS,
)
