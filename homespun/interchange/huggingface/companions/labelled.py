"""Beside a classifier of texts: a tokenizer that makes the same rows as homespun does.

What homespun puts around a text, the end of the text before it or an encoder's marks, ``tokenizers`` puts there too; it
fills up at the end, with a token that no text ends with; it cuts where homespun does, if its caller asks for that; and
what a text spells is no special token. So ``pipeline("text-classification", …)`` says what ``homespun classify`` says.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from homespun.batches.labelled import FRAMES
from homespun.common.errors import HomespunError
from homespun.interchange.forms import model_of
from homespun.interchange.huggingface.companions import text
from homespun.interchange.huggingface.companions.companion import Companion
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.family import BODY, Family
from homespun.interchange.huggingface.tokenizer_files import (
    TOKENIZER,
    load_if_there,
    padding_id,
    special_ids,
    write_framing_tokenizer,
)
from homespun.interchange.kinds import KINDS
from homespun.interchange.options import Reading
from homespun.interchange.weights import Weights
from homespun.models.settings import ClassifierConfig, TextModelConfig
from homespun.tokenizer.formats.huggingface import Frame, read_frame
from homespun.tokenizer.tokenizer import Tokenizer

PLACES = {"last": -1, "first": 0}
NEAR = 1e-4


def frame_of(body: TextModelConfig, tokenizer: Tokenizer) -> Frame:
    """What stands around a text, by name; ``HomespunError`` for a tokenizer that lacks it."""
    names = {token: name for name, token in tokenizer.special_tokens.items()}
    before, behind = FRAMES[body.summarized_at](tokenizer.end_of_text, tokenizer.special_tokens)
    return tuple(names[token] for token in before), tuple(names[token] for token in behind)


def read(folder: Path, file: ConfigFile, config: ClassifierConfig, options: Reading) -> Tokenizer:
    """As that of a model that makes tokens; other marks around a text than homespun's are told."""
    tokenizer = text.read(folder, file, config.body, options)
    ours = frame_of(config.body, tokenizer)
    theirs = read_frame(load_if_there(folder / TOKENIZER).get("post_processor", None))
    if options.tokenizer is None and theirs != ours:
        options.warn(
            f"{folder / TOKENIZER} puts other tokens around a text than homespun, which has {' '.join(ours[0])} before "
            f"it{' and ' + ' '.join(ours[1]) + ' behind' if ours[1] else ''}: the classes will not be the same"
        )
    return tokenizer


def fit(weights: Weights, options: Reading) -> Weights:
    """The body, as a model that makes tokens."""
    config = weights.config
    assert isinstance(config, ClassifierConfig)
    of_body = {name.removeprefix(BODY): tensor for name, tensor in weights.tensors.items() if name.startswith(BODY)}
    fitted = text.fit(Weights(config.body, of_body, weights.inputs), options)
    body = fitted.config
    assert isinstance(body, TextModelConfig)
    tensors = weights.tensors | {BODY + name: tensor for name, tensor in fitted.tensors.items()}
    return Weights(replace(config, body=body, length=min(config.length, body.context)), tensors, weights.inputs)


def write(weights: Weights, family: Family, folder: Path) -> None:
    """``tokenizer.json`` and the files around it; a classifier that reads more than one token is refused."""
    config = weights.config
    assert isinstance(config, ClassifierConfig)
    check_place(weights)
    around = frame_of(config.body, weights.tokenizer)
    write_framing_tokenizer(weights.tokenizer, around, config.window, folder)


@torch.inference_mode()
def check_place(weights: Weights) -> None:
    """Of texts of several lengths, each asked alone: is it the one token that the library reads?"""
    config, model = weights.config, model_of(weights)
    assert isinstance(config, ClassifierConfig)
    ids, documents = KINDS[config.reads].batch(config)  # (B, T)
    place = PLACES[config.body.summarized_at]
    logits = model(ids, documents)  # (B, V)
    for row, length, found in zip(ids, documents.sum(1).tolist(), logits, strict=True):
        alone = model.head(model.body.hidden(row[None, :length])[0, place])  # (V)
        if not float((alone - found).abs().max()) <= NEAR * max(1.0, float(found.abs().max())):
            raise HomespunError(
                "Hugging Face's layout has no place for this classifier: it does not read its text off the "
                f"{config.body.summarized_at} token alone; --format safetensors keeps the model as it is"
            )


def keys(weights: Weights, family: Family) -> dict[str, Any]:
    """The ids that begin and end a text, and the one that is no text: by it the library finds the last that is."""
    return special_ids(weights.tokenizer) | {"pad_token_id": padding_id(weights.tokenizer), "use_cache": False}


LABELLED = Companion(read, fit, write, keys)
