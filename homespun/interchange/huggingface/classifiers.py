"""A classifier of texts in a family's layout, as the library's ``…ForSequenceClassification`` read it.

In: the family of the body. Out: the same with a head, and the classes' names in ``config.json``.

What is read is one token of one window, not the mean of all tokens, nor of several windows. Behind a decoder it is the
last that is no padding, which the library finds by ``pad_token_id``, and the head is a matrix alone, ``score``. A bias
has no place there, nor anywhere in front: behind an RMSNorm no number is the same for all texts, so a matrix can make
none of it. (Behind a LayerNorm the norm's own bias could take it in; then the tensors that come back would be others
than those that went out.) So the plan gives none to one that reads it, and one that has a bias is refused.

Behind BERT the head has a bias, and reads tanh(P h) where homespun's reads h, the activations of the first token. With
P = 2^-k the product is so small that tanh changes nothing (tanh y = y - y^3 / 3 + …), and the head's matrix times 2^k
takes it back: products with powers of two are exact. k follows from how large h can be. Behind the last LayerNorm, of
gain g and bias b, no |h_i| is above |g_i| sqrt(C) + |b_i|. Such a file is for use: the library's own training would
begin with a matrix that is far too small.
"""

import math
from dataclasses import fields, replace
from typing import Any

import torch

from homespun.common.errors import HomespunError
from homespun.interchange.forms import Form, forms_of
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import BODY, Family, Recast, Tensors
from homespun.interchange.huggingface.labels import read_labels, write_labels
from homespun.interchange.huggingface.tokenizer_files import CONFIG as TOKENIZER_CONFIG
from homespun.interchange.huggingface.tokenizer_files import load_if_there
from homespun.interchange.weights import Weights
from homespun.models.settings import ClassifierConfig, ModelConfig, TextModelConfig

# The classes of the library, by family; each reads the last token, but BERT's the first.
CLASSES = {
    "openai-gpt": "OpenAIGPTForSequenceClassification",
    "gpt2": "GPT2ForSequenceClassification",
    "llama": "LlamaForSequenceClassification",
    "qwen2": "Qwen2ForSequenceClassification",
    "qwen3": "Qwen3ForSequenceClassification",
    "mistral": "MistralForSequenceClassification",
    "bert": "BertForSequenceClassification",
}
MATRIX, BIASED = "score", "classifier"  # the head behind a decoder, and behind BERT
ONE_OF_SEVERAL = "single_label_classification"
HEAD, POOLER, POOLER_BIAS = "head.weight", "pooler.weight", "pooler.bias"
READ_OUT = ("head", "head.bias", "transform", "transform_norm", "next_sentence.pooler", "next_sentence.head")
# Settings of what makes tokens, which a classifier has not: they may have any value.
NO_READ_OUT = {"logit_softcap": 0.0, "next_sentence": False, "tied_embeddings": True}
# Settings of a classifier that have a place in the layout, or no effect on what it computes once it is trained.
PLACED = {
    "architecture", "layers", "width", "norm_epsilon", "dropout", "body", "length", "trained", "trained_layers",
    "lora_rank", "lora_alpha", "lora_dropout", "lora_layers", "base_bits", "labels", "class_weights", "head_bias",
    "summary",
}  # fmt: skip
# How large y may be for tanh y to be y within the rounding of a type. One below 2^-14 is cut off in F16, so there the
# room is used up.
STRAIGHT = {"F32": 2.0**-12, "BF16": 2.0**-12, "F16": 2.0**-6}


def is_classifier(family: Family, architectures: Any) -> bool:
    """Whether the class that a ``config.json`` names is a classifier of a family."""
    return architectures == [CLASSES.get(family.model_type)]


def without_read_out(body: TextModelConfig) -> TextModelConfig:
    """A model with the same activations; how it would make tokens is left open."""
    known = {item.name for item in fields(body)}
    return replace(body, **{key: value for key, value in NO_READ_OUT.items() if key in known})  # pyrefly: ignore


def classifier_of(family: Family) -> Family:
    """The layout of a classifier whose body is a model of ``family``."""
    has_pooler = family.model_type == "bert"
    head = BIASED if has_pooler else MATRIX
    modules = {BODY + ours: theirs for ours, theirs in family.modules.items() if ours not in READ_OUT}

    def read(file: ConfigFile) -> dict[str, Any]:
        file.demand("problem_type", ONE_OF_SEVERAL, default=ONE_OF_SEVERAL)
        labels, body = read_labels(file), family.read(file)
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise file.refuse("id2label", list(labels), "classifiers of two or more classes, each of a name of its own")
        return {
            "architecture": "classifier",
            "labels": labels,
            "head_bias": has_pooler,
            "length": read_length(file, body["context"]),
            "dropout": file.number("classifier_dropout", body.get("dropout", 0.0)) if has_pooler else 0.0,
            **{BODY + key: value for key, value in body.items()},
        }

    def write(config: ClassifierConfig) -> dict[str, Any]:
        return {
            **family.write(without_read_out(config.body)),
            "architectures": [CLASSES[family.model_type]],
            "problem_type": ONE_OF_SEVERAL,
            **write_labels(config.labels),
            **({"classifier_dropout": config.dropout} if has_pooler else {}),
        }

    def why_not(config: ClassifierConfig) -> str | None:
        if reason := why_not_settings(config):
            return reason
        if config.head_bias != has_pooler:
            return (
                f"model.head_bias is {config.head_bias}, and {CLASSES[family.model_type]} has "
                f"{'one' if has_pooler else 'no place for one'} (finetune again: what reads one token fits)"
            )
        return why_not_labels(config)

    return replace(
        family,
        architectures=(CLASSES[family.model_type],),
        modules=modules | {"head": (head,)} | ({"pooler": (family.prefix + "pooler.dense",)} if has_pooler else {}),
        settings={"architecture": ("classifier",)},
        read=read,
        write=write,
        outside=(f"{head}.",),
        why_not=why_not,
        recast=Recast(forms_with_pooler, with_pooler, without_pooler) if has_pooler else Recast(),
    )


def read_length(file: ConfigFile, context: int) -> int:
    """How many tokens of a text are read, which the tokenizer's settings say; 0 for as many as there is room for."""
    settings = load_if_there(file.path.parent / TOKENIZER_CONFIG)
    most = settings.get("model_max_length", context)
    return most if type(most) is int and 1 <= most < context else 0


def why_not_labels(config: ClassifierConfig) -> str | None:
    """Names that would not come back as they are."""
    if len(config.labels) < 2 or not all(label.isprintable() for label in config.labels):
        return "model.labels has names that cannot be printed, or less than two"
    return None


def why_not_settings(config: ClassifierConfig) -> str | None:
    """What is read must be one token of one window; a setting that nobody knows here must have its default."""
    if config.summary != "token":
        return (
            f"model.summary is {config.summary}, and the classifiers there read one token of a text (finetune with "
            "--model.summary token)"
        )
    if config.windows > 1:
        return (
            f"model.length is {config.length}, and the base reads {config.window} tokens at once (finetune with "
            f"--model.length {config.window})"
        )
    for item in fields(config):
        value = getattr(config, item.name)
        if item.name not in PLACED and value != item.default:
            return f"model.{item.name} is {value}, for which there is no word there"
    return None


def forms_with_pooler(config: ClassifierConfig) -> dict[str, Form]:
    """BERT's matrix P and its bias, besides."""
    width = config.width
    return forms_of(config) | {POOLER: Form((width, width), (width,)), POOLER_BIAS: Form((width,), (width,))}


def with_pooler(weights: Weights, number: str) -> Tensors:
    """P = 2^-k, and the head's matrix times 2^k."""
    config, tensors = weights.config, weights.tensors
    halvings = max(0, math.frexp(largest_activation(tensors, config) / STRAIGHT[number])[1])
    return tensors | {
        POOLER: torch.eye(config.width) * 2.0**-halvings,
        POOLER_BIAS: torch.zeros(config.width),
        HEAD: tensors[HEAD] * 2.0**halvings,
    }


def largest_activation(tensors: Tensors, config: ModelConfig) -> float:
    """No number behind the last LayerNorm is larger, whatever the text."""
    last = f"{BODY}blocks.{config.layers - 1}.feedforward_norm"
    gain, bias = tensors[f"{last}.weight"].double(), tensors[f"{last}.bias"].double()  # (C)
    largest = float((gain.abs() * math.sqrt(config.width) + bias.abs()).max())
    if not math.isfinite(largest):
        raise HomespunError(f"{last} has numbers that are not finite: the model diverged; take an earlier checkpoint")
    return largest


def without_pooler(tensors: Tensors, config: ClassifierConfig) -> Tensors:
    """The inverse; one that does more than to make its inputs small is refused."""
    pooler, bias = tensors[POOLER], tensors[POOLER_BIAS]
    scale = float(pooler[0, 0])
    is_power = scale > 0 and math.frexp(scale)[0] == 0.5
    # Gains are a little larger where they were rounded.
    is_small = is_power and scale * largest_activation(tensors, config) <= 2 * max(STRAIGHT.values())
    if bias.any() or not is_small or not torch.equal(pooler, torch.eye(config.width) * scale):
        raise HomespunError(
            "this BERT has a pooler, a layer with a hyperbolic tangent between the first token and the head, which "
            "homespun's classifiers have not; only such ones that homespun exported come back"
        )
    kept = {name: tensor for name, tensor in tensors.items() if name not in (POOLER, POOLER_BIAS)}
    return kept | {HEAD: tensors[HEAD] * scale}
