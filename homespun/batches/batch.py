"""What a training step is given: inputs and targets, with targets that do not count marked in one way."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch

IGNORED = -100  # a target with this id adds nothing to any loss; torch.nn.functional.cross_entropy's own default


@dataclass(frozen=True)
class Batch:
    """Rows of ``inputs`` and their ``targets``, which may hold ``IGNORED``; the rest where a task needs it.

    For texts ``inputs`` and ``targets`` are token ids (B, T). ``documents`` (B, T): a number for the text that a token
    belongs to, 0 for padding; tokens see only their own text. ``segments`` (B, T): first or second of two sentences.
    ``places`` (B, K): where in a row ``targets``, which are then (B, K), stand. ``follows`` (B): 0 where the second
    text of a row follows the first, 1 where it does not. ``source`` (B, S): the sequence that is translated, and
    ``source_documents`` (B, S), 0 for its padding. ``reference`` (B, 2): what another model thinks of two answers; then
    ``inputs``, ``documents`` and ``places`` are (B, 2, …), and ``targets`` (B) say which of both is preferred.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None
    segments: torch.Tensor | None = None
    places: torch.Tensor | None = None
    follows: torch.Tensor | None = None
    source: torch.Tensor | None = None
    source_documents: torch.Tensor | None = None
    reference: torch.Tensor | None = None

    def tokens(self) -> torch.Tensor:
        """How many tokens it is to learn from (0-d): one for each target, or all that are read where few are told."""
        if self.places is None:
            return (self.targets != IGNORED).sum()
        read = torch.ones_like(self.inputs) if self.documents is None else self.documents
        return (read != 0).sum()

    def with_each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        """The batch in which every tensor that is there is changed."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(tensor) for name, tensor in tensors.items() if tensor is not None}
        return Batch(**changed)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return self.with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def rows(self, begin: int, end: int) -> "Batch":
        """Some of the rows."""
        return self.with_each(lambda tensor: tensor[begin:end])

    def split(self, rows: int) -> list["Batch"]:
        """Batches of ``rows`` rows each, the last one perhaps with fewer."""
        return [self.rows(begin, begin + rows) for begin in range(0, len(self.inputs), rows)]

    def share(self, rank: int, size: int) -> "Batch":
        """The rows of process ``rank`` of ``size``: as many for each; where there are too few, some without targets."""
        rows = -(-len(self.inputs) // size)
        missing = rows * size - len(self.inputs)
        filled = self.with_each(lambda tensor: torch.cat([tensor, tensor[:1].expand(missing, *tensor.shape[1:])]))
        for wanted in (filled.targets, filled.follows):
            if wanted is not None:
                wanted[len(self.targets) :] = IGNORED
        return filled.rows(rank * rows, (rank + 1) * rows)
