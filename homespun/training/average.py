"""An average of the weights along the way, which may serve better than the last ones.

Exponential moving average (Polyak & Juditsky 1992; Izmailov et al. 2018): after every step each averaged
weight moves by ``1 - decay`` towards the present one; early on faster, so that the start is forgotten.
"""

import torch
from torch import nn

from homespun.training.sharding import local, placed_like


class WeightAverage:
    """The averages of the parameters that are trained, by name."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.averages = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights after ``step`` updates."""
        share = max(1 - self.decay, 1 / (step / 4 + 1))  # over a quarter of the way so far, until that is longer
        averages, weights = (list(map(local, some.values())) for some in (self.averages, self.parameters))
        torch._foreach_lerp_(averages, weights, share)

    @torch.no_grad()
    def move_in(self) -> None:
        """Make the averages the model's weights: the last act of a run."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.averages[name])

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return dict(self.averages)

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what ``tensors`` gave, whole tensors."""
        self.averages = {name: placed_like(tensors[name], value) for name, value in self.averages.items()}
