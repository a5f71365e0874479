"""Whole RWKV-7 models between the authors' names and ours: a configuration and tensors in, the same out.

The configuration is read off the shapes: their files have no other. What is missing, too many, or of another shape or
type is a ``DamagedFileError`` that names the tensor.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from homespun.common.errors import DamagedFileError, UsageError
from homespun.interchange.rwkv.names import USELESS, pairs_of
from homespun.models.settings import RWKVConfig

LAYER = re.compile(r"blocks\.(\d{1,6})\.")
PUBLISHED_CONTEXT = 4096  # of the released models; their files do not say it
Tensors = dict[str, torch.Tensor]


def to_rwkv(config: RWKVConfig, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Our tensors under the authors' names and in their shapes; a tied head is written out."""
    source = dict(tensors)
    source.setdefault("head.weight", source["token_embedding.weight"].clone())
    return {pair.theirs: pair.to_theirs(source[pair.ours]) for pair in pairs_of(config)}


def from_rwkv(path: Path, found: Mapping[str, torch.Tensor], context: int = 0) -> tuple[RWKVConfig, Tensors]:
    """The configuration, and the tensors under our names in fp32, a tied head left out.

    ``path`` is for messages. ``context``: positions of a training window, 0 for the 4,096 of the released models.
    """
    for name, tensor in found.items():
        if not tensor.is_floating_point():
            raise DamagedFileError(f"{path}: {name} has the type {tensor.dtype}; weights are floating-point numbers")
    try:
        config = config_of(path, found, context or PUBLISHED_CONTEXT)
    except UsageError as error:
        raise DamagedFileError(f"{path} has tensors of shapes that make no model ({error})") from error
    pairs = {pair.theirs: pair for pair in pairs_of(config)}
    for name in found:
        if name not in pairs and name not in USELESS:
            raise DamagedFileError(f"{path} has a tensor {name} that RWKV-7 does not have")
    tensors = {}
    for name, pair in pairs.items():
        if without_ones(shape_of(path, found, name)) != without_ones(pair.shape):
            raise DamagedFileError(
                f"{path}: {name} has shape {tuple(found[name].shape)}; the other tensors ask for {pair.shape}"
            )
        tensors[pair.ours] = pair.from_theirs(found[name].float())
    if config.tied_embeddings:
        del tensors["head.weight"]
    return config, tensors


def config_of(path: Path, found: Mapping[str, torch.Tensor], context: int) -> RWKVConfig:
    """The configuration that the shapes tell; sizes that follow the authors' rules are left to them (0)."""
    vocabulary, width = matrix_of(path, found, "emb.weight")
    heads, head_width = matrix_of(path, found, "blocks.0.att.r_k")
    if heads * head_width != width:
        raise DamagedFileError(
            f"{path}: blocks.0.att.r_k has {heads} heads of {head_width} channels, emb.weight has {width} channels"
        )
    layers = count_layers(path, found)
    sizes = {
        "feedforward_width": matrix_of(path, found, "blocks.0.ffn.key.weight")[0],
        "decay_rank": matrix_of(path, found, "blocks.0.att.w1")[1],
        "rate_rank": matrix_of(path, found, "blocks.0.att.a1")[1],
        "gate_rank": matrix_of(path, found, "blocks.0.att.g1")[1],
        "value_rank": matrix_of(path, found, "blocks.1.att.v1")[1] if layers > 1 else 0,
    }
    ruled = RWKVConfig(width=width, head_width=head_width)
    by_rule = {
        "feedforward_width": ruled.hidden_width,
        "decay_rank": ruled.rank_of_decay,
        "rate_rank": ruled.rank_of_rate,
        "gate_rank": ruled.rank_of_gate,
        "value_rank": ruled.rank_of_value,
    }
    return RWKVConfig(
        vocabulary_size=vocabulary,
        context=context,
        layers=layers,
        width=width,
        head_width=head_width,
        tied_embeddings="head.weight" in found and torch.equal(found["emb.weight"], found["head.weight"]),
        **{name: 0 if size == by_rule[name] else size for name, size in sizes.items()},
    )


def count_layers(path: Path, found: Mapping[str, torch.Tensor]) -> int:
    """Blocks, numbered from 0 without a gap."""
    numbers = {int(match[1]) for name in found if (match := LAYER.match(name))}
    for number in range(len(numbers)):
        if number not in numbers:
            raise DamagedFileError(f"{path} has tensors of blocks.{max(numbers)} and none of blocks.{number}")
    return len(numbers)


def shape_of(path: Path, found: Mapping[str, torch.Tensor], name: str) -> tuple[int, ...]:
    """Of a tensor that must be there."""
    if name not in found:
        raise DamagedFileError(f"{path} lacks the tensor {name} of RWKV-7")
    return tuple(found[name].shape)


def matrix_of(path: Path, found: Mapping[str, torch.Tensor], name: str) -> tuple[int, int]:
    """Rows and columns of a matrix that must be there."""
    shape = shape_of(path, found, name)
    if len(shape) != 2 or 0 in shape:
        raise DamagedFileError(f"{path}: {name} has shape {shape}; it must be a matrix")
    return shape[0], shape[1]


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Checkpoints differ in whether a vector is (C,) or (1, 1, C)."""
    return tuple(side for side in shape if side != 1)
