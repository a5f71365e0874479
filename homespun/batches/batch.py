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
