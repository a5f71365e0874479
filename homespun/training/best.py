"""The weights of the evaluation with the lowest validation loss, which may serve better than the last ones.

Small data is soon learned by heart: the training loss falls on while that of the validation rises (Prechelt 1998,
"Early Stopping - But When?"). In: a model, and the exact validation loss at each evaluation of the loop. Out: which
step was the best, whether to give up, and at the end the weights of that step. The record stands in ``TrainingState``,
the copy in the checkpoint, so that a run that is killed goes on to the same choice.
"""

import torch
from torch import nn

from homespun.training.checkpoint import TrainingState
from homespun.training.settings import TrainingConfig
from homespun.training.sharding import placed_like


class BestWeights:
    """A copy of the parameters that are trained, by name; empty as long as no evaluation has told of a best one."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.weights: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def take(self) -> None:
        """Copy the present weights."""
        self.weights = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def move_in(self) -> None:
        """Make the copy the model's weights: the last act of a run. The copy goes, so that it is not stored twice."""
        for name, tensor in self.weights.items():
            self.parameters[name].copy_(tensor)
        self.weights = {}

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return dict(self.weights)

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what ``tensors`` gave, whole tensors; perhaps none."""
        self.weights = {name: placed_like(tensor, self.parameters[name]) for name, tensor in tensors.items()}


def is_better(state: TrainingState, loss: float) -> bool:
    """Whether ``loss`` is lower than all before; of equal ones the earlier stays, and what is no number is never it."""
    return loss < (float("inf") if state.best_loss is None else state.best_loss)


def note(state: TrainingState, loss: float, better: bool) -> None:
    """Write an evaluation of this step down."""
    state.judged_at = state.step
    if better:
        state.best_at, state.best_loss, state.worse = state.step, loss, 0
    else:
        state.worse += 1


def is_over(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether all steps are done, or patience is at its end."""
    return state.step >= state.total or ends_early(state, config)


def ends_early(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether too many evaluations in a row were no better than one before."""
    return 0 < config.patience <= state.worse
