"""A classifier of texts: token ids (B, T) in, logits (B, V) for the V classes out.

The body is any model of text, pretrained; a head reads the classes off a mean of its activations: of all tokens, which
is surest where a long text speaks of many things, or only of the token that has seen everything, the last of a model
that reads from left to right, never the padding behind it (Radford et al. 2018, section 3.2), or the first of an
encoder (Devlin et al. 2019, section 3.2). A text longer than the body's window is cut into windows, read each by
itself; the mean goes over all of them. The body's own read-out, which makes tokens, is left away.

The head behind a decoder's last token is a matrix alone (equation 3 of the former), as in other programs, which have no
place for a bias there: behind an RMSNorm no number is the same for all texts.

Left out: BERT's pooler, which only learns something with pairs of texts; the largest activation of each channel beside
the mean (Howard and Ruder 2018, section 3.3), which gained nothing here (docs/experiments.md).

Shapes: B texts, T positions, N windows of all texts, W positions in a window, C width, V classes.
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
        self.read, only = READINGS[config.body.summarized_at]
        self.places = every_token if config.summary == "mean" else only
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width, config.outputs, bias=config.head_bias)
        nn.init.normal_(self.head.weight, std=DEVIATION * config.width**-0.5)
        if config.head_bias:
            nn.init.zeros_(self.head.bias)
        weights = torch.tensor(config.class_weights or (1.0,) * config.outputs)
        self.register_buffer("class_weights", weights, persistent=False)  # (V,), for the training loss

    def forward(self, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        """Token ids (B, T) and ``documents`` (B, T), 1 for text and 0 for padding -> logits (B, V).

        T is at most a window, or a whole number of windows (``ClassifierConfig.window``).
        """
        return self.head(self.dropout(self.summary(tokens, documents)))

    def summary(self, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        """The mean of the activations (B, C) at the places that are read of each text."""
        texts, width = len(tokens), min(tokens.shape[1], self.config.window)
        tokens, documents = tokens.reshape(-1, width), documents.reshape(-1, width)  # (N, W)
        hidden = self.read(self.body, tokens, documents)  # (N, W, C)
        places = self.places(documents).reshape(texts, 1, -1).to(hidden)  # (B, 1, T)
        summed = (places @ hidden.reshape(texts, -1, hidden.shape[-1])).squeeze(1)
        return summed / places.sum(2)


def from_the_left(body: Any, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Activations (N, W, C); what is behind a text, no token of it can see."""
    return body.hidden(tokens)


def both_ways(body: Any, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Activations (N, W, C); no token looks at the padding."""
    return body.hidden(tokens, documents=documents)


def every_token(documents: torch.Tensor) -> torch.Tensor:
    """1 (N, W) wherever there is text."""
    return documents


def last_tokens(documents: torch.Tensor) -> torch.Tensor:
    """1 (N, W) at the last token of each window that has any."""
    return documents - torch.nn.functional.pad(documents[:, 1:], (0, 1))


def first_tokens(documents: torch.Tensor) -> torch.Tensor:
    """1 (N, W) at the first token of each window that has any."""
    return torch.nn.functional.pad(documents[:, :1], (0, documents.shape[1] - 1))


READINGS: dict[str, tuple[Callable[..., torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]] = {
    "last": (from_the_left, last_tokens),
    "first": (both_ways, first_tokens),
}
