"""A model with a few tokens more than it had: a trained model in, the same one with longer tables out.

The new rows are the mean of those that are there (Hewitt 2021, "Initializing New Word Embeddings for Pretrained
Language Models"): a new token then gets about the chance of the mean one, and no other token loses more than that. Rows
drawn by chance may have larger logits than all that was learned.
"""

from dataclasses import replace
from typing import Any

import torch

from homespun.models.registry import build_model


@torch.no_grad()
def with_vocabulary(model: Any, size: int) -> Any:
    """``model`` itself, or another one that knows ``size`` tokens; tied tables stay tied."""
    known = model.config.vocabulary_size
    if size == known:
        return model
    longer = build_model(replace(model.config, vocabulary_size=size))
    old = dict(model.named_parameters())
    for name, parameter in longer.named_parameters():
        parameter[: len(old[name])] = old[name]
        if len(parameter) > len(old[name]):
            parameter[known:] = old[name].mean(0)
    return longer.train(model.training)
