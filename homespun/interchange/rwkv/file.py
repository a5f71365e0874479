"""RWKV-7's weights as one safetensors file: read, or written whole."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save

from homespun.common.errors import UsageError
from homespun.common.files import write_atomic
from homespun.interchange.rwkv.convert import Tensors, from_rwkv, to_rwkv
from homespun.models.settings import RWKVConfig
from homespun.training.checkpoint import read_tensors

CONVERT = (
    'python -c "import torch, safetensors.torch as s; '
    "s.save_file({{k: v.clone() for k, v in torch.load('{name}', weights_only=True).items()}}, 'model.safetensors')\""
)


def read_rwkv(path: Path, context: int = 0) -> tuple[RWKVConfig, Tensors]:
    """The configuration and our tensors, in fp32; the file may be in any floating-point type.

    ``context``: positions of a training window, 0 for the 4,096 of the released models. A pickle is a ``UsageError``,
    anything wrong with the file or in it a ``DamagedFileError`` of one line.
    """
    if path.suffix != ".safetensors":
        raise UsageError(
            f"{path} is no safetensors file; the authors' .pth files are pickles, which could run any program: "
            f"if you trust it, convert it in its folder: {CONVERT.format(name=path.name)}"
        )
    return from_rwkv(path, read_tensors(path), context)


def write_rwkv(path: Path, config: RWKVConfig, tensors: Mapping[str, torch.Tensor]) -> None:
    """Our tensors (the names of ``named_parameters``) under the authors' names; the file is whole or absent."""
    write_atomic(path, save(to_rwkv(config, tensors)))
