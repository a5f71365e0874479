"""What moves the weights: AdamW, or Muon for hidden matrices and AdamW for the rest; state as named tensors.

Kingma & Ba 2015; Loshchilov & Hutter 2019; Jordan 2024 (``homespun.training.muon``). Matrices and embeddings decay,
gains and biases do not. Parameters may be spread over processes (DTensor); their state is then spread alike.
"""

from operator import attrgetter

import torch
from torch import nn

from homespun.common.errors import DamagedFileError
from homespun.training.muon import POLAR_EXPRESS, Muon
from homespun.training.settings import TrainingConfig
from homespun.training.sharding import placed_like, spread_alike


class Optimizers:
    """Several optimizers, each with its own parameters of one model, as one."""

    def __init__(self, model: nn.Module, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        self.names: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        self.groups = [group for part in parts for group in part.param_groups]
        self.highest_rates = [group["lr"] for group in self.groups]

    def step(self, skip: torch.Tensor | None = None) -> None:
        """One update. With ``skip`` (0-d float, on the device) at 1.0 nothing is changed, and nobody waits for it."""
        for part in self.parts:
            part.found_inf = skip  # type: ignore[attr-defined]  # PyTorch's fused AdamW looks here, and so does Muon
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def set_share(self, share: float) -> None:
        """From now on every group's rate is this share of its highest rate."""
        for group, highest in zip(self.groups, self.highest_rates, strict=True):
            group["lr"] = highest * share

    def tensors(self) -> dict[str, torch.Tensor]:
        """The whole state, not copied, as ``{"parameter/field": tensor}``; complete before the first step, too."""
        return {
            f"{self.names[parameter]}/{field}": value
            for part in self.parts
            for parameter, fields in part.state.items()
            for field, value in fields.items()
        }

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what ``tensors`` gave, whole or spread alike; DamagedFileError if they are of something else."""
        own = self.tensors()
        for name in sorted(own.keys() ^ tensors.keys()):
            which = "has a tensor too many" if name in tensors else "lacks a tensor"
            raise DamagedFileError(f"the state of the optimizer {which}: {name}; it is of another model or optimizer")
        for name, tensor in own.items():
            if tensors[name].shape != tensor.shape:
                found, wanted = list(tensors[name].shape), list(tensor.shape)
                raise DamagedFileError(f"the state of the optimizer has {name} of shape {found}, not {wanted}")
        for name, tensor in own.items():
            tensor.copy_(placed_like(tensors[name], tensor))


def build_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizers:
    """The optimizer that ``config.optimizer`` names, with an empty state."""
    matrices = hidden_matrices(model) if config.optimizer == "muon" else {}
    rest = [p for p in model.parameters() if p.requires_grad and p not in matrices]
    parts: list[torch.optim.Optimizer] = [adamw(rest, config)] if rest else []
    if matrices:
        # A machine on which bfloat16 is slow, or a run that wants no rounding, says fp32.
        dtype = torch.float32 if config.precision == "fp32" else torch.bfloat16
        parts.append(
            Muon(
                list(matrices.items()),
                lr=config.learning_rate,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                dtype=dtype,
                rounds=POLAR_EXPRESS[: config.orthogonal_rounds],
            )
        )
    return Optimizers(model, parts)


def hidden_matrices(model: nn.Module) -> dict[nn.Parameter, tuple[int, ...]]:
    """The matrices that layers declare in ``matrices``, each with the rows of the matrices that it is fused of."""
    return {
        matrix: rows
        for module in model.modules()
        for name, rows in getattr(module, "matrices", {}).items()
        if (matrix := attrgetter(name)(module)).requires_grad
    }


def adamw(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.AdamW:
    """Groups that decay and groups that do not. PyTorch's fused kernel updates all in one pass."""
    matrices, vectors = [p for p in parameters if p.dim() >= 2], [p for p in parameters if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": alike, "weight_decay": decay}
            for some, decay in ((matrices, config.weight_decay), (vectors, 0.0))
            for alike in spread_alike(some)
        ],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        fused=True,
    )
    for parameter in parameters:
        # As PyTorch would at the first step; made now, the state can be saved and loaded at any time.
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer
