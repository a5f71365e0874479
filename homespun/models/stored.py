"""What there is of a model, by name: a model in, its tensors out, not copied, or their shapes; and what of it moves."""

import torch
from torch import nn

from homespun.layers.quantized import QuantizedMatrix


def stored_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters, a shared one once, and buffers that hold something of the model: not tables of angles."""
    kept = model.state_dict(keep_vars=True)
    return {
        **dict(model.named_parameters()),
        **{name: buffer for name, buffer in model.named_buffers() if name in kept},
    }


def held_still(model: nn.Module) -> set[str]:
    """Of ``stored_tensors`` the names of those that training does not change: a base's own, and its packed matrices."""
    packed = {
        f"{name}.{part}"
        for name, matrix in model.named_modules()
        if isinstance(matrix, QuantizedMatrix)
        for part in matrix.form.names
    }
    return packed | {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def shapes_of(model: nn.Module) -> dict[str, torch.Size]:
    """Of all parameters and of all matrices in few bits, under the names that they would have as parameters."""
    packed = {name: part.shape for name, part in model.named_modules() if isinstance(part, QuantizedMatrix)}
    return {name: parameter.shape for name, parameter in model.named_parameters()} | packed
