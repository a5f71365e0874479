"""``Weights`` -> a folder in Hugging Face's layout, which ``AutoModelForCausalLM`` and its like load.

``config.json`` is in the words of both generations of the library. Weights larger than a shard go into several files
with an index, cut between tensors.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from homespun.common.errors import HomespunError
from homespun.common.files import write_json
from homespun.interchange.huggingface.companions import COMPANIONS
from homespun.interchange.huggingface.families import family_of_model
from homespun.interchange.huggingface.family import Family
from homespun.interchange.huggingface.tensors import divide, stored_tensors
from homespun.interchange.options import Writing
from homespun.interchange.stored.opening import INDEX, SINGLE
from homespun.interchange.weights import Weights
from homespun.training.checkpoint import write_tensors

NUMBERS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
METADATA = {"format": "pt"}  # without it some readers refuse the file


def write_folder(weights: Weights, folder: Path, options: Writing) -> None:
    """All files; what the layout has no place for is a ``HomespunError`` that names the setting."""
    family = family_of_model(weights.config)
    kind = NUMBERS[options.number]
    write_json(folder / "config.json", configuration(weights, family, kind))
    COMPANIONS[weights.config.reads].write(weights, family, folder)
    if family.model_type == "qwen2":
        options.warn(
            "version 5 of transformers gives every qwen2 the split and the Unicode form of Qwen's own tokenizer, "
            "whatever tokenizer.json says: load this one with PreTrainedTokenizerFast instead of AutoTokenizer"
        )
    options.begin(sum(tensor.numel() for tensor in weights.tensors.values()))
    shards = plan_shards(sizes(weights, family, kind), options.shard_bytes)
    tensors = stored_tensors(family, weights, options.number)
    places: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file_name = SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        shard = {}
        for name in names:
            found, tensor = next(tensors)
            assert found == name
            shard[name] = rounded(tensor, kind, name)
            options.advance(tensor.numel())
        write_tensors(shard, folder / file_name, METADATA)
        places |= dict.fromkeys(names, file_name)
    if len(shards) > 1:
        total = sum(size for _, size in sizes(weights, family, kind))
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})


def configuration(weights: Weights, family: Family, kind: torch.dtype) -> dict[str, Any]:
    """``config.json``."""
    type_name = str(kind).removeprefix("torch.")
    return {
        "architectures": [family.architectures[0]],
        "model_type": family.model_type,
        **family.write(weights.config),
        **COMPANIONS[weights.config.reads].keys(weights, family),
        "dtype": type_name,
        "torch_dtype": type_name,
    }


def sizes(weights: Weights, family: Family, kind: torch.dtype) -> list[tuple[str, int]]:
    """Name and bytes of every tensor as it will be stored, in order; nothing is copied for it."""
    return [
        (name, part.numel() * kind.itemsize)
        for ours, form in family.recast.forms(weights.config).items()
        for name, part in divide(family, weights.config, ours, form, torch.empty(form.shape, device="meta"))
    ]


def plan_shards(tensors: Iterable[tuple[str, int]], most_bytes: int) -> list[list[str]]:
    """Which tensors go into which file, in order: as many as fit, at least one."""
    shards: list[list[str]] = [[]]
    room = most_bytes
    for name, size in tensors:
        if size > room and shards[-1]:
            shards.append([])
            room = most_bytes
        shards[-1].append(name)
        room -= size
    return shards


def rounded(tensor: torch.Tensor, kind: torch.dtype, name: str) -> torch.Tensor:
    """In another type; numbers that it cannot hold are refused."""
    if not bool(tensor.isfinite().all()):
        raise HomespunError(f"{name} has numbers that are not finite: the model diverged; take an earlier checkpoint")
    found = tensor.to(kind)
    if not bool(found.isfinite().all()):
        raise HomespunError(f"{name} has numbers too large for {str(kind).removeprefix('torch.')}; choose --number F32")
    return found
