"""The tasks of BERT: tell the hidden tokens of a row; and, of pairs of texts, whether the second follows the first.

Devlin et al. 2019, section 3.1. Activations of the hidden places are gathered before the head, so that no logits are
made for all the others. With pairs the loss that is trained is the mean of one task plus the mean of the other; in
evaluation the loss is that of the tokens alone, and of both tasks the share of right answers is told.
"""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from homespun.batches.batch import IGNORED, Batch
from homespun.batches.framing import SingleText, TextPair
from homespun.batches.masked import hidden_in_row
from homespun.training.cross_entropy import read_out_cross_entropy
from homespun.training.pieces import LOGITS_AT_ONCE


def at_places(hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Activations (B, T, C) at ``places`` (B, K): (B K, C)."""
    return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1])).flatten(0, 1)


class Masked:
    """Cross-entropy of the hidden tokens, in nats. ``model``: a ``homespun.models.bert.BERT``."""

    measures: tuple[str, ...] = ("accuracy",)

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Sum of nats, how many tokens were hidden; in evaluation also how many of them the first guess hits."""
        return self.of_tokens(model, model.hidden(batch.inputs, batch.documents), batch)

    def of_tokens(self, model: Any, hidden: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, ...]:
        """From the activations (B, T, C) of all places."""
        assert batch.places is not None
        read = model.before_head(at_places(hidden, batch.places))  # (B K, C)
        targets, head = batch.targets.flatten(), model.head
        nats = read_out_cross_entropy(read, head.weight, targets, bias=head.bias)
        count = (targets != IGNORED).sum()
        if model.training:
            return nats, count
        pieces = zip(*(rows.split(max(1, LOGITS_AT_ONCE // len(head.weight))) for rows in (read, targets)), strict=True)
        hits = torch.stack([(head(piece).argmax(-1) == wanted).sum() for piece, wanted in pieces]).sum()
        return nats, count, hits

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens (rows, T), of which some are to be told."""
        return example_of(config, rows, hidden_in_row(config.context - SingleText.marks_in_row, config.masked_share))


class MaskedPairs(Masked):
    """The same, and whether the second text of a row follows the first."""

    measures = ("accuracy", "next_sentence_accuracy")

    def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Sums over hidden tokens; each row's second task counts as often as it has hidden tokens."""
        hidden = model.hidden(batch.inputs, batch.documents, batch.segments)  # (B, T, C)
        nats, count, *hits = self.of_tokens(model, hidden, batch)
        verdicts, follows = model.next_sentence(hidden), batch.follows  # (B, 2), (B)
        assert follows is not None
        weights = (batch.targets != IGNORED).sum(1)  # (B)
        if model.training:
            others = cross_entropy(verdicts.float(), follows, ignore_index=IGNORED, reduction="none")
            return nats + (others * weights).sum(), count
        return nats, count, *hits, ((verdicts.argmax(-1) == follows) * weights).sum()

    def example(self, config: Any, rows: int) -> Batch:
        """Chance tokens (rows, T) of two texts."""
        batch = example_of(config, rows, hidden_in_row(config.context - TextPair.marks_in_row, config.masked_share))
        segments = (torch.arange(config.context) >= config.context // 2).long().expand(rows, -1)
        return Batch(batch.inputs, batch.targets, segments=segments, places=batch.places, follows=segments[:, 0])


def example_of(config: Any, rows: int, count: int) -> Batch:
    """Chance tokens (rows, T), the first ``count`` of each row to be told."""
    tokens = torch.randint(0, config.vocabulary_size, (rows, config.context))
    return Batch(tokens, tokens[:, :count], places=torch.arange(count).expand(rows, -1))
