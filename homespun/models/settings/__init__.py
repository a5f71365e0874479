"""What a user can write under ``[model]``: one frozen dataclass for each architecture. Imports no torch.

Beside the models but without them, so that the command line can read it in milliseconds.
"""

from dataclasses import field, fields, make_dataclass
from typing import Any, Literal, get_type_hints

from homespun.common.errors import UsageError
from homespun.models.settings.base import ModelConfig, TextModelConfig, literals
from homespun.models.settings.bert import BERTConfig
from homespun.models.settings.classifier import ClassifierConfig
from homespun.models.settings.decoder import GPTConfig
from homespun.models.settings.encoder_decoder import EncoderDecoderConfig
from homespun.models.settings.finetuned import (
    AssistantConfig,
    ContinuedConfig,
    FinetunedConfig,
    PairedConfig,
    PartlyTrainedConfig,
    PreferredConfig,
)
from homespun.models.settings.recurrent import LSTMConfig, RWKVConfig
from homespun.models.settings.vit import ViTConfig

SETTINGS: dict[str, type[ModelConfig]] = {
    "gpt": GPTConfig,
    "lstm": LSTMConfig,
    "bert": BERTConfig,
    "rwkv": RWKVConfig,
    "vit": ViTConfig,
    "encoder_decoder": EncoderDecoderConfig,
    "classifier": ClassifierConfig,
    "assistant": AssistantConfig,
    "paired": PairedConfig,
    "preferred": PreferredConfig,
    "continued": ContinuedConfig,
}
DEFAULT_ARCHITECTURE = "gpt"
MODELS_WITHIN = ("body",)  # settings that are a model's own; a base has them, nobody writes them by hand

__all__ = [
    "DEFAULT_ARCHITECTURE",
    "MODELS_WITHIN",
    "SETTINGS",
    "AssistantConfig",
    "BERTConfig",
    "ClassifierConfig",
    "ContinuedConfig",
    "EncoderDecoderConfig",
    "FinetunedConfig",
    "GPTConfig",
    "LSTMConfig",
    "ModelConfig",
    "PairedConfig",
    "PartlyTrainedConfig",
    "PreferredConfig",
    "RWKVConfig",
    "TextModelConfig",
    "ViTConfig",
    "all_settings",
    "model_settings",
    "text_settings",
]


def model_settings(values: dict[str, Any]) -> ModelConfig:
    """The settings of the architecture that ``values`` name; ``UsageError`` for one, or for a setting, not known.

    Lists, which JSON has for tuples, become tuples. A model within a model has dotted names: ``body.width``.
    """
    architecture = values.get("architecture", DEFAULT_ARCHITECTURE)
    if architecture not in SETTINGS:
        raise UsageError(f"unknown model.architecture {architecture!r}; known: {', '.join(SETTINGS)}")
    kind = SETTINGS[architecture]
    known = [item.name for item in fields(kind)]
    given: dict[str, Any] = {}
    within: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, dot, rest = name.partition(".")
        if part not in known or bool(dot) != (part in MODELS_WITHIN):
            raise UsageError(f"model.{name} is no setting of {architecture}, which has {', '.join(known)}")
        if dot:
            within.setdefault(part, {})[rest] = value
        else:
            given[name] = tuple(value) if isinstance(value, list) else value
    given |= {part: model_settings(settings) for part, settings in within.items()}
    return kind(**given)


def text_settings(values: dict[str, Any]) -> TextModelConfig:
    """The same where only a model of text will do."""
    config = model_settings(values)
    if not isinstance(config, TextModelConfig):
        raise UsageError(f"model.architecture {config.architecture} reads {config.reads}, not text")
    return config


def all_settings() -> type:
    """A dataclass with every setting of every architecture, for the command line; the first one's words and default.

    It checks nothing: ``model_settings`` does, when it is known which architecture is meant.
    """
    found: dict[str, tuple[Any, Any]] = {}
    words: dict[str, tuple[Any, ...]] = {"architecture": tuple(SETTINGS)}
    for kind in SETTINGS.values():
        hints = get_type_hints(kind)
        for item in fields(kind):
            if item.name in MODELS_WITHIN:
                continue
            told: Any = field(default=item.default, metadata=item.metadata)
            found.setdefault(item.name, (hints[item.name], told))
        for name, choices in literals(kind).items():
            words[name] = tuple(dict.fromkeys((*words.get(name, ()), *choices)))
    kinds: dict[str, Any] = {name: Literal[chosen] for name, chosen in words.items()}  # pyrefly: ignore
    listed = [(name, kinds.get(name, kind), told) for name, (kind, told) in found.items()]
    # Else it would count as one of the module types, into which the command line does not look.
    return make_dataclass("ModelOptions", listed, frozen=True, namespace={"__module__": __name__})
