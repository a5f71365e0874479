"""Two ways to draw first weights that several models use; which matrix is drawn how stands in each model's own table.

In: a weight, or a model. Out: new numbers in place.
"""

import math

import torch
from torch import nn


@torch.no_grad()
def draw_cut_normal(weight: torch.Tensor, deviation: float) -> None:
    """Normal numbers within two deviations: uniform ones through the inverse of the normal distribution.

    PyTorch's own looks at the numbers it has drawn, which tensors without numbers (for counting) cannot have.
    """
    share = math.erf(2 / math.sqrt(2))
    weight.uniform_(-share, share).erfinv_().mul_(deviation * math.sqrt(2))


def draw_matrices_evenly(model: nn.Module) -> None:
    """Every matrix of the blocks uniform within sqrt(6 / (rows + columns)), each part of a fused one by itself.

    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", equation 16.
    """
    for module in model.modules():
        for name, rows in getattr(module, "matrices", {}).items():
            for matrix in module.get_parameter(name).detach().split(rows):
                nn.init.xavier_uniform_(matrix)
