"""Is what was written what was meant? An export, read back by the way that imports go, against the model it is of.

In: the model in memory and the ``Weights`` that were read from the written files. Out: ``Verified``, what was compared
and how near it came, or a ``HomespunError`` that names the first difference. Nothing is taken from the writer: files
are parsed by their bytes, a model is built from them, and both models are asked the same.
"""

from dataclasses import dataclass
from typing import Any

import torch

from homespun.interchange.differences import refuse
from homespun.interchange.formats import ROUNDING
from homespun.interchange.forms import find_fault, model_of
from homespun.interchange.kinds import KINDS
from homespun.interchange.weights import Weights

NEAR = 1e-4  # how far logits of the same weights may lie apart, as a share of the largest


@dataclass(frozen=True)
class Verified:
    """``difference``: the largest among the logits of the ``shown`` tokens or images (``unit``). ``exact``: every
    weight is the same to the bit. ``inputs``: what else is equal of what makes the model's inputs, in words.
    """

    tensors: int
    exact: bool
    shown: int
    unit: str
    difference: float
    inputs: str

    def words(self) -> str:
        """For people, one line."""
        how = "to the bit" if self.exact else "within the rounding of their type"
        return (
            f"read back: {self.tensors} tensors equal {how}, logits of {self.shown} {self.unit} within "
            f"{self.difference:.2g}, {self.inputs} equal"
        )


def verify(model: Any, inputs: Any, found: Weights, number: str) -> Verified:
    """Compare the model that was exported with what the files hold; ``number`` is the type of weights they have.

    ``inputs``: what ``Weights.inputs`` was to be.
    """
    kind = KINDS[model.config.reads]
    tensors = {name: value.detach() for name, value in model.named_parameters()}
    same_inputs = kind.compare(model.config, inputs, found)
    compare_tensors(tensors, found.tensors, ROUNDING[number])
    batch = kind.batch(model.config)
    with torch.inference_mode():
        wanted, given = model.eval()(*batch), model_of(found)(*batch)
    difference = float((wanted - given).abs().max())
    if not difference <= NEAR * max(1.0, float(wanted.abs().max())) and not ROUNDING[number]:
        raise refuse(f"the logits of a fixed batch differ by {difference:.3g}")
    if not bool(given.isfinite().all()):
        raise refuse("the logits of a fixed batch are not finite")
    shown = wanted.numel() // model.config.outputs
    return Verified(len(tensors), not ROUNDING[number], shown, kind.unit, difference, same_inputs)


def compare_tensors(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor], rounding: float) -> None:
    """Names, shapes, and every number up to rounding."""
    if fault := find_fault({name: tuple(value.shape) for name, value in wanted.items()}, found):
        raise refuse(fault)
    for name, value in wanted.items():
        if rounding == 0:
            near = torch.equal(value, found[name])
        else:
            near = bool((value - found[name]).abs().max() <= rounding * value.abs().max())
        if not near:
            raise refuse(f"the numbers of the tensor {name} are others")
