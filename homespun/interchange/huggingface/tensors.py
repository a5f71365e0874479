"""Tensors in a family's names and layout -> tensors in ours, and back.

In: a ``TensorSource`` and a configuration. Out: float32 tensors under our names, every one of them checked; each is
read only when its turn comes. What a family keeps apart and homespun fuses (queries, keys and values; gate and path)
is joined and divided here.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from homespun.common.errors import DamagedFileError
from homespun.common.progress import Advance
from homespun.interchange.forms import Form, in_order_of_layers
from homespun.interchange.huggingface.family import Family
from homespun.interchange.stored import TensorSource
from homespun.interchange.weights import Weights
from homespun.models.settings import ModelConfig, TextModelConfig

HEAD, HEAD_BIAS, EMBEDDING = "head.weight", "head.bias", "token_embedding.weight"


class FamilyTensors:
    """A source under the family's full names, whatever prefix or older naming the file has."""

    def __init__(self, source: TensorSource, family: Family) -> None:
        self.source = source
        self.stored: dict[str, str] = {}
        for stored in source.names():
            name = family.full_name(stored)
            if re.search(family.follows, name):
                continue
            if name in self.stored:
                raise DamagedFileError(f"{source.file(stored)} has {name} twice: as {self.stored[name]} and {stored}")
            self.stored[name] = stored

    def file(self, name: str) -> Path:
        """Where it stands."""
        return self.source.file(self.stored[name])

    def read(self, name: str, wanted: tuple[int, ...]) -> torch.Tensor:
        """One tensor as float32 of the shape that is wanted; anything else is a line that names it."""
        return read_checked(self.source, self.stored[name], wanted, "the configuration needs")


def read_checked(source: TensorSource, stored: str, wanted: tuple[int, ...], who_needs: str) -> torch.Tensor:
    """One tensor of a file as float32: of the shape that is wanted, finite; ``who_needs`` it is part of the message."""
    where, shape = source.file(stored), source.shape(stored)
    if not source.is_float(stored):
        raise DamagedFileError(
            f"{where}: {stored} has the type {source.type_name(stored)}; weights are floating-point numbers"
        )
    # OpenAI's GPT-2 has convolutions over one position, with an axis of length one for it.
    if wanted not in (shape, shape[1:]) or (shape != wanted and shape[0] != 1):
        raise DamagedFileError(f"{where}: {stored} has shape {shape}, {who_needs} {wanted}")
    values = source.read(stored).view(wanted).to(torch.float32)
    if not bool(values.isfinite().all()):
        count = int((~values.isfinite()).sum())
        raise DamagedFileError(f"{where} is damaged: {count} of the numbers of {stored} are infinite or no numbers")
    return values


def read_tensors(
    family: Family, config: ModelConfig, forms: Mapping[str, Form], source: TensorSource, advance: Advance
) -> dict[str, torch.Tensor]:
    """Every tensor that ``config`` asks for (``forms``), under our names; ``advance`` hears of numbers read."""
    found = FamilyTensors(source, family)
    check_names(family, config, found, {name for ours in forms for name in family.stored_names(ours)})
    tensors = {}
    for ours, form in forms.items():
        tensors[ours] = join(family, config, ours, form, found)
        advance(tensors[ours].numel())
    check_tied_head(family, config, found, tensors)
    return tensors


def check_names(family: Family, config: ModelConfig, found: FamilyTensors, wanted: set[str]) -> None:
    """The file must have all tensors that are wanted, and no others but a second copy of a tied head."""
    where = next((found.file(name) for name in found.stored), Path("the file"))
    for name in sorted(wanted - found.stored.keys(), key=in_order_of_layers):
        is_head = isinstance(config, TextModelConfig) and name in family.stored_names(HEAD)
        also = " (tie_word_embeddings is false)" if is_head else ""
        raise DamagedFileError(f"{where} lacks the tensor {name}{also}, which the configuration asks for")
    extra = found.stored.keys() - wanted - set(copies_of_embedding(family, config))
    for name in sorted(extra, key=in_order_of_layers):
        raise DamagedFileError(
            f"{found.file(name)} has the tensor {found.stored[name]}, which a {family.model_type} of this "
            "configuration does not have"
        )


def copies_of_embedding(family: Family, config: ModelConfig) -> tuple[str, ...]:
    """The name under which a tied head may be in the file all the same."""
    tied = isinstance(config, TextModelConfig) and config.tied_embeddings
    return family.stored_names(HEAD) if tied else ()


def check_tied_head(
    family: Family, config: ModelConfig, found: FamilyTensors, tensors: dict[str, torch.Tensor]
) -> None:
    """It must be the embedding."""
    for name in found.stored.keys() & set(copies_of_embedding(family, config)):
        embedding = tensors[EMBEDDING]
        if not torch.equal(found.read(name, tuple(embedding.shape)), embedding):
            raise DamagedFileError(
                f"{found.file(name)}: {name} is not the token embedding, though tie_word_embeddings is true"
            )


def join(family: Family, config: ModelConfig, ours: str, form: Form, found: FamilyTensors) -> torch.Tensor:
    """One tensor of ours from its parts."""
    names = family.stored_names(ours)
    if ours in family.shapes:
        return found.read(names[0], family.shapes[ours](config)).reshape(form.shape)
    transposed = family.is_transposed(ours, form.shape)
    rows = form.parts if len(names) > 1 else (form.shape[0],)
    parts = []
    for name, count in zip(names, rows, strict=True):
        shape = (count, *form.shape[1:])
        part = found.read(name, shape[::-1] if transposed else shape)
        parts.append(part.T if transposed else part)
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)


def divide(
    family: Family, config: ModelConfig, ours: str, form: Form, tensor: torch.Tensor
) -> Iterator[tuple[str, torch.Tensor]]:
    """The parts of one tensor of ours, under the family's names and in its layout."""
    names = family.stored_names(ours)
    if ours in family.shapes:
        tensor = tensor.reshape(family.shapes[ours](config))
    parts = tensor.split(form.parts) if len(names) > 1 else (tensor,)
    for name, part in zip(names, parts, strict=True):
        yield name, (part.T if family.is_transposed(ours, form.shape) else part).contiguous()


def stored_tensors(family: Family, weights: Weights, number: str) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors of a model as the family stores them, in the order of the model; ``number``: of what type."""
    tensors = family.recast.outgoing(weights, number)
    for ours, form in family.recast.forms(weights.config).items():
        yield from divide(family, weights.config, ours, form, tensors[ours])
