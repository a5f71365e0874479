"""The task of answering: cross-entropy of each token that is to be learned, given all that was said before it, in nats.

In: a ``Finetuned`` model and batches of conversations (``homespun.batches.conversations``). Out: sums. Logits are made
at the places that count alone; with the loss on answers that is often less than half of all.
"""

from typing import Any

import torch

from homespun.batches.batch import IGNORED, Batch
from homespun.training.cross_entropy import read_out_cross_entropy
from homespun.training.masked import at_places


class Answers:
    """Nats, and how many tokens are to be learned."""

    measures: tuple[str, ...] = ()

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """``model``: a ``Finetuned`` of an ``AssistantConfig``."""
        assert batch.places is not None
        body, documents = model.body, batch.documents if model.config.packed else None
        read = at_places(body.hidden(batch.inputs, documents=documents), batch.places)  # (B K, C)
        total = read_out_cross_entropy(read, body.head.weight, batch.targets.flatten(), body.logit_softcap)
        count = (batch.targets != IGNORED).sum()
        if body.training and (penalty := body.penalty()) is not None:
            # It has a gradient but no value: the loss that is told stays that of the answers.
            total = total + count * (penalty - penalty.detach())
        return total, count

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens (rows, T), each the target of the one before."""
        tokens = torch.randint(0, config.outputs, (rows, config.positions_in_row + 1))
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        places = torch.arange(config.positions_in_row).expand(rows, -1)
        return Batch(inputs, targets, documents=torch.ones_like(inputs), places=places)
