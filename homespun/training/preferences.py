"""Direct preference optimization (DPO): the preferred of two answers becomes likelier, measured against the base.

In: a ``Finetuned`` model and batches of pairs of answers (``homespun.batches.preferences``). Out: sums over pairs. With
the probabilities of model and base, given the question, the margin of a pair is

    beta * (log model(chosen) / base(chosen) - log model(rejected) / base(rejected))

and its loss is -log sigmoid(margin) (Rafailov et al. 2023, equation 7): ln 2 at the beginning, when model and base are
the same. ``model.preference_smoothing`` is the share of pairs that are taken to be told the wrong way round (Mitchell
2023, "A note on DPO with noisy preferences", equation 3); validation has the plain loss.
"""

from typing import Any

import torch
from torch.nn.functional import logsigmoid
from torch.utils.checkpoint import checkpoint

from homespun.batches.batch import IGNORED, Batch
from homespun.training.masked import at_places
from homespun.training.pieces import LOGITS_AT_ONCE


class Preferences:
    """Nats, pairs; the sum of their margins, and how many have one above 0."""

    measures: tuple[str, ...] = ("margin", "accuracy")

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: a ``Finetuned`` of a ``PreferredConfig``."""
        assert batch.reference is not None
        gained = answer_log_probabilities(model.body, batch) - batch.reference  # (B, 2)
        margins = model.config.beta * (gained[:, 0] - gained[:, 1])  # (B)
        counted = batch.targets != IGNORED
        doubt = model.config.preference_smoothing if model.training else 0.0
        nats = -(1 - doubt) * logsigmoid(margins) - doubt * logsigmoid(-margins)
        kept = margins.detach() * counted
        return (nats * counted).sum(), counted.sum(), kept.sum(), (kept > 0).sum()

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens (rows, 2, T), half of them answers."""
        length = config.positions_in_row // 2
        inputs = torch.randint(0, config.outputs, (rows, 2, length))
        places = torch.arange(length // 2, length - 1).expand(rows, 2, -1)
        return Batch(
            inputs, torch.zeros(rows, dtype=torch.long), documents=torch.ones_like(inputs), places=places,
            reference=torch.zeros(rows, 2),
        )  # fmt: skip


def answer_log_probabilities(model: Any, batch: Batch) -> torch.Tensor:
    """Logarithms of the probabilities (B, 2) that a ``LanguageModel`` gives to both answers of each pair, fp32."""
    assert batch.places is not None
    inputs, places = batch.inputs.flatten(0, 1), batch.places.flatten(0, 1)  # (2 B, T), (2 B, K)
    read = at_places(model.hidden(inputs), places)  # (2 B K, C)
    wanted = inputs.gather(1, places + 1).flatten()
    size = max(1, LOGITS_AT_ONCE // model.config.vocabulary_size)
    # Logits of a piece are forgotten and made again for the gradient: all of them at once can be gigabytes.
    pieces = [
        checkpoint(of_tokens, model, piece, tokens, use_reentrant=False)
        for piece, tokens in zip(read.split(size), wanted.split(size), strict=True)
    ]
    told = torch.cat(pieces).view(places.shape)
    return (told * (places > 0)).sum(1).view(batch.inputs.shape[:2])


def of_tokens(model: Any, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Activations (N, C) and the tokens after them (N) -> logarithms of their probabilities (N), fp32."""
    return model.logits(hidden).float().log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
