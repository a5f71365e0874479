"""A configuration -> the tensors that its model has; a model -> ``Weights``, and back.

Knows of no family and no format: whatever ``homespun.models.registry`` builds can be asked.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from homespun.common.errors import HomespunError
from homespun.interchange.weights import Weights
from homespun.models.registry import build_model
from homespun.models.settings import ModelConfig
from homespun.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Form:
    """One tensor: its shape, and the rows of each of the matrices that are fused in it (mostly one: all rows)."""

    shape: tuple[int, ...]
    parts: tuple[int, ...]


def forms_of(config: ModelConfig) -> dict[str, Form]:
    """Every tensor of the model that ``config`` describes, in its order; no memory is taken for them.

    ``HomespunError`` for sizes that no machine can count.
    """
    try:
        with torch.device("meta"):
            model = build_model(config)
    except (RuntimeError, OverflowError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise HomespunError(f"the configuration describes a model that cannot be built ({reason})") from error
    return {
        name: Form(tuple(parameter.shape), fused_rows(model, name) or (len(parameter),))
        for name, parameter in model.named_parameters()
    }


def fused_rows(model: nn.Module, name: str) -> tuple[int, ...]:
    """The rows of each part of a fused matrix, or of its bias; empty for all other tensors."""
    layer, _, last = name.rpartition(".")
    owner, _, layer_name = layer.rpartition(".")
    if last not in ("weight", "bias"):
        return ()
    return getattr(model.get_submodule(owner), "matrices", {}).get(f"{layer_name}.weight", ())


def weights_of(model: Any, inputs: Tokenizer | None) -> Weights:
    """The tensors of a model; they share its memory. ``inputs``: what makes its inputs, as in ``Weights``."""
    return Weights(model.config, {name: value.detach() for name, value in model.named_parameters()}, inputs)


def model_of(weights: Weights) -> Any:
    """The model, ready to be asked; names and shapes that are not its own are a ``HomespunError``."""
    model = build_model(weights.config)
    parameters = dict(model.named_parameters())
    if fault := find_fault({name: tuple(value.shape) for name, value in parameters.items()}, weights.tensors):
        raise HomespunError(fault)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights.tensors[name])
    return model.eval()


def find_fault(wanted: dict[str, tuple[int, ...]], found: dict[str, torch.Tensor]) -> str | None:
    """What is wrong with the names and shapes that were found, or None."""
    for name in sorted(wanted.keys() | found.keys(), key=in_order_of_layers):
        if name not in found:
            return f"the tensor {name} is missing"
        if name not in wanted:
            return f"the tensor {name} is one that the model does not have"
        if tuple(found[name].shape) != wanted[name]:
            return f"the tensor {name} has shape {tuple(found[name].shape)}, the model needs {wanted[name]}"
    return None


def in_order_of_layers(name: str) -> list[tuple[int, str]]:
    """A key that sorts layer 10 behind layer 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"\W", name)]
