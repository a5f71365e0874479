"""The models there are, by name: one line each. ``build_model(config)`` makes one."""

from collections.abc import Callable
from typing import Any

from torch import nn

from homespun.common.errors import UsageError
from homespun.models.bert import BERT
from homespun.models.classifier import Classifier
from homespun.models.encoder_decoder import EncoderDecoder
from homespun.models.finetuned import Finetuned
from homespun.models.gpt import GPT
from homespun.models.lstm import LSTM
from homespun.models.rwkv import RWKV
from homespun.models.settings import ClassifierConfig, FinetunedConfig, ModelConfig, PartlyTrainedConfig
from homespun.models.vit import ViT


def build_finetuned(config: PartlyTrainedConfig) -> nn.Module:
    """A body with fresh weights, of which a part moves."""
    return build_on(config, build_model(config.body))


MODELS: dict[str, Callable[[Any], nn.Module]] = {
    "gpt": GPT,
    "lstm": LSTM,
    "bert": BERT,
    "rwkv": RWKV,
    "vit": ViT,
    "encoder_decoder": EncoderDecoder,
    "classifier": build_finetuned,
    "assistant": build_finetuned,
    "paired": build_finetuned,
    "preferred": build_finetuned,
    "continued": build_finetuned,
}


def build_model(config: ModelConfig) -> Any:
    """The model that ``config.architecture`` names, with freshly initialized weights."""
    if config.architecture not in MODELS:
        raise UsageError(f"unknown model.architecture {config.architecture!r}; known: {', '.join(MODELS)}")
    return MODELS[config.architecture](config)


def build_on(config: PartlyTrainedConfig, body: Any) -> Any:
    """The model that ``config`` describes, around a ``body`` that is there: what moves of it begins as it is."""
    if isinstance(config, ClassifierConfig):
        return Classifier(config, body)
    assert isinstance(config, FinetunedConfig)
    return Finetuned(config, body)
