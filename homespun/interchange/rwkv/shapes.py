"""The configuration of an RWKV-7 checkpoint, read off the shapes of its tensors: such files have no other.

In: a ``TensorSource``, of which only the header is looked at. Out: ``RWKVConfig``. A tensor that is missing or has a
shape that makes no model is a ``DamagedFileError`` that names it.
"""

import re
from dataclasses import replace

import torch

from homespun.common.errors import DamagedFileError, UsageError
from homespun.interchange.stored import TensorSource
from homespun.models.settings import RWKVConfig

LAYER = re.compile(r"blocks\.(\d{1,6})\.")
EMBEDDING, HEAD, BONUS = "emb.weight", "head.weight", "blocks.0.att.r_k"


def is_rwkv(source: TensorSource) -> bool:
    """By a name that no other model has."""
    return BONUS in source.names()


def config_of(source: TensorSource, context: int) -> RWKVConfig:
    """Sizes that follow the authors' rules are left to them (0); ``context``: positions of a training window."""
    vocabulary, width = matrix_shape(source, EMBEDDING)
    heads, head_width = matrix_shape(source, BONUS)
    if heads * head_width != width:
        raise DamagedFileError(
            f"{source.file(BONUS)}: {BONUS} has {heads} heads of {head_width} channels, {EMBEDDING} {width} channels"
        )
    layers = count_layers(source)
    ruled = RWKVConfig(width=width, head_width=head_width)
    sizes: dict[str, tuple[int, int]] = {
        "feedforward_width": (matrix_shape(source, "blocks.0.ffn.key.weight")[0], ruled.hidden_width),
        "decay_rank": (matrix_shape(source, "blocks.0.att.w1")[1], ruled.rank_of_decay),
        "rate_rank": (matrix_shape(source, "blocks.0.att.a1")[1], ruled.rank_of_rate),
        "gate_rank": (matrix_shape(source, "blocks.0.att.g1")[1], ruled.rank_of_gate),
        "value_rank": (matrix_shape(source, "blocks.1.att.v1")[1] if layers > 1 else 0, ruled.rank_of_value),
    }
    try:
        config = replace(ruled, vocabulary_size=vocabulary, context=context, layers=layers)
        others = {name: 0 if found == by_rule else found for name, (found, by_rule) in sizes.items()}
        return replace(config, tied_embeddings=is_tied(source), **others)  # pyrefly: ignore
    except UsageError as error:
        raise DamagedFileError(f"{source.file(EMBEDDING)} has shapes that make no model ({error})") from error


def is_tied(source: TensorSource) -> bool:
    """Whether the head is the embedding, number for number: the format has no other word for it."""
    if HEAD not in source.names() or source.shape(HEAD) != source.shape(EMBEDDING):
        return False
    if source.type_name(HEAD) != source.type_name(EMBEDDING):
        return False
    return torch.equal(source.read(HEAD), source.read(EMBEDDING))


def count_layers(source: TensorSource) -> int:
    """Blocks, numbered from 0 without a gap."""
    numbers = {int(match[1]) for name in source.names() if (match := LAYER.match(name))}
    for number in range(len(numbers)):
        if number not in numbers:
            raise DamagedFileError(
                f"{source.file(BONUS)} has tensors of blocks.{max(numbers)} and none of blocks.{number}"
            )
    return len(numbers)


def shape_of(source: TensorSource, name: str) -> tuple[int, ...]:
    """Of a tensor that must be there."""
    if name not in source.names():
        where = next((source.file(other) for other in source.names()), "the file")
        raise DamagedFileError(f"{where} lacks the tensor {name} of RWKV-7")
    return source.shape(name)


def matrix_shape(source: TensorSource, name: str) -> tuple[int, int]:
    """Rows and columns of a matrix that must be there."""
    shape = shape_of(source, name)
    if len(shape) != 2 or 0 in shape:
        raise DamagedFileError(f"{source.file(name)}: {name} has shape {shape}; it must be a matrix")
    return shape[0], shape[1]
