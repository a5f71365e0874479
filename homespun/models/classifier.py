"""A classifier of texts: token ids (B, T) in, logits (B, V) for the V classes out.

The body is any model of text, pretrained; of its activations the one is read that has seen the whole text: the last
token of a model that reads from left to right, never the padding behind it (Radford et al. 2018, section 3.2), or the
first of an encoder (Devlin et al. 2019, section 3.2). The body's own read-out, which makes tokens, is left away.

Left out: BERT's pooler, which only learns something with pairs of texts.

Shapes: B texts, T positions, C width, V classes.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from homespun.models.settings import ClassifierConfig
from homespun.models.trained import TRAINED

DEVIATION = 0.5  # of the first logits, where activations are normalized


class Classifier(nn.Module):
    """``body``: a model with ``hidden`` whose parameters are kept as they are."""

    class_weights: torch.Tensor

    def __init__(self, config: ClassifierConfig, body: Any) -> None:
        super().__init__()
        self.config = config
        self.body = body
        for name in body.read_out:
            delattr(body, name)
        TRAINED[config.trained](body, config)
        self.summary = SUMMARIES[config.body.summarized_at]
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width, config.outputs)
        nn.init.normal_(self.head.weight, std=DEVIATION * config.width**-0.5)
        nn.init.zeros_(self.head.bias)
        weights = torch.tensor(config.class_weights or (1.0,) * config.outputs)
        self.register_buffer("class_weights", weights, persistent=False)  # (V,), for the training loss

    def forward(self, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        """Token ids (B, T) and ``documents`` (B, T), 1 for text and 0 for padding -> logits (B, V)."""
        return self.head(self.dropout(self.summary(self.body, tokens, documents)))


def at_the_last(body: Any, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Activations (B, C) of the last token of each text; what is behind it, none that comes before can see."""
    hidden = body.hidden(tokens)  # (B, T, C)
    last = documents.sum(1) - 1  # (B)
    return hidden.gather(1, last[:, None, None].expand(-1, -1, hidden.shape[-1])).squeeze(1)


def at_the_first(body: Any, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Activations (B, C) of the first token, which looks at its whole text and not at the padding."""
    return body.hidden(tokens, documents=documents)[:, 0]


SUMMARIES: dict[str, Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "last": at_the_last,
    "first": at_the_first,
}
