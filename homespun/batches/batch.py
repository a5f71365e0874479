"""What a training step is given: inputs and targets, with targets that do not count marked in one way."""

from dataclasses import dataclass

import torch

IGNORED = -100  # a target with this id adds nothing to any loss; torch.nn.functional.cross_entropy's own default


@dataclass(frozen=True)
class Batch:
    """Token ids ``inputs`` (B, T) and ``targets`` (B, T); ``targets`` may hold ``IGNORED``."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(self.inputs.to(device, non_blocking=True), self.targets.to(device, non_blocking=True))

    def split(self, rows: int) -> list["Batch"]:
        """Batches of ``rows`` rows each, the last one perhaps with fewer."""
        return [
            Batch(inputs, targets)
            for inputs, targets in zip(self.inputs.split(rows), self.targets.split(rows), strict=True)
        ]

    def share(self, rank: int, size: int) -> "Batch":
        """The rows of process ``rank`` of ``size``: as many for each; where there are too few, some without targets."""
        rows = -(-len(self.inputs) // size)
        missing = rows * size - len(self.inputs)
        inputs = torch.cat([self.inputs, self.inputs[:1].expand(missing, -1)])
        targets = torch.cat([self.targets, self.targets.new_full((missing, self.targets.shape[1]), IGNORED)])
        return Batch(inputs[rank * rows : (rank + 1) * rows], targets[rank * rows : (rank + 1) * rows])
