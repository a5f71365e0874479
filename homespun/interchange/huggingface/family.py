"""What has to be known of one kind of model to read and write it: its words for settings, and for tensors.

A family is a value: a table, and two functions between its ``config.json`` and our settings. The rest is done for all
families in the same way (``tensors``, ``reading``, ``writing``). To add one: a file in ``families``, a line in its
registry.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from homespun.common.errors import HomespunError
from homespun.interchange.forms import Form, forms_of
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.weights import Weights
from homespun.models.settings import ModelConfig

LAYER = re.compile(r"\.(\d+)\.")
BODY = "body."  # before the names of a model that is a part of another
Tensors = dict[str, torch.Tensor]


def keep(name: str) -> str:
    """Names stay as they are."""
    return name


def no_reason(_config: Any) -> str | None:
    """Nothing speaks against a model besides its settings."""
    return None


def as_they_are(tensors: Tensors, _config: Any) -> Tensors:
    """Tensors need nothing but names and layout."""
    return tensors


def nothing_besides(weights: Weights, _number: str) -> Tensors:
    """The same for those that go out."""
    return weights.tensors


@dataclass(frozen=True)
class Recast:
    """Between the tensors of a model of ours and those that a family has of it, where it has others besides.

    ``forms(config)``: all that are stored, under names of our kind. ``outgoing(weights, number)``: their values, for a
    type of weights. ``incoming(tensors, config)``: ours again, or a ``HomespunError`` where it cannot be.
    """

    forms: Callable[[Any], dict[str, Form]] = forms_of
    outgoing: Callable[[Weights, str], Tensors] = nothing_besides
    incoming: Callable[[Tensors, Any], Tensors] = as_they_are


@dataclass(frozen=True)
class Family:
    """``modules``: our layer -> theirs, or several of theirs that are one of ours; ``{}`` is the number of a block. A
    tensor that does not stand with its layer is there under its own name.

    ``architectures``: the class that is written, then others whose tensors are the same. ``prefix`` stands before all
    names but those in ``outside``, and is missing where only the body of a model was saved. ``settings``: those of
    ours that this family has no word for, with the values they may have. ``inputs_first``: matrices of blocks are
    stored as (inputs, outputs). ``rename``: from an older naming to the family's own. ``follows``: names of tensors
    that follow from the configuration and may lie in a file all the same. ``why_not``: what else speaks against
    writing a model of ours in this family, in words. ``shapes``: the tensors of ours whose numbers stand there in the
    same order but in another shape, which follows from our settings. ``ids_of_end``: further keys of ``config.json``
    that are to hold the id of the end of a text. ``recast``: for tensors that homespun's model does not have.
    """

    model_type: str
    architectures: tuple[str, ...]
    prefix: str
    modules: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, tuple[Any, ...]]
    read: Callable[[ConfigFile], dict[str, Any]]
    write: Callable[[Any], dict[str, Any]]
    outside: tuple[str, ...] = ("lm_head.",)
    inputs_first: bool = False
    rename: Callable[[str], str] = keep
    follows: str = r"\b\B"
    why_not: Callable[[Any], str | None] = no_reason
    shapes: Mapping[str, Callable[[Any], tuple[int, ...]]] = field(default_factory=dict)
    ids_of_end: tuple[str, ...] = ()
    recast: Recast = Recast()

    def stored_names(self, ours: str) -> tuple[str, ...]:
        """Where a tensor of ours stands: one name, or one for each part that is fused in it."""
        if ours in self.modules:
            return self.modules[ours]
        layer, _, kind = ours.rpartition(".")
        number = LAYER.search(ours)
        key = LAYER.sub(".{}.", layer, count=1)
        if key not in self.modules:
            raise HomespunError(f"{self.model_type} has no place for the tensor {ours}")
        return tuple(f"{module.format(number[1] if number else '')}.{kind}" for module in self.modules[key])

    def full_name(self, name: str) -> str:
        """The family's own name of a tensor that may have an older one, or none of the prefix."""
        name = self.rename(name)
        return name if name.startswith((self.prefix, *self.outside)) else self.prefix + name

    def is_transposed(self, ours: str, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of ours stands in the file with rows and columns exchanged."""
        return self.inputs_first and len(shape) == 2 and ours.removeprefix(BODY).startswith("blocks.")

    def is_for(self, config: ModelConfig) -> bool:
        """Whether its models are of this architecture at all."""
        return config.architecture in self.settings["architecture"]

    def faults(self, config: ModelConfig) -> list[str]:
        """The settings that this family cannot have, in words; of another architecture only that it is one."""
        if not self.is_for(config):
            return [f"model.architecture is {config.architecture}"]
        return [
            f"model.{key} is {getattr(config, key, None)} and not {' or '.join(map(str, known))}"
            for key, known in self.settings.items()
            if getattr(config, key, None) not in known
        ]
