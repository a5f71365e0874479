"""Our tensors <-> those of a GGUF file: names, fused matrices cut and joined, rows of rotary heads in their order.

In: tensors under our names and an architecture. Out: tensors under llama.cpp's names, each as it is stored; and back.

Ours fuse what reads the same activations (queries, keys and values; gate and path), llama.cpp's keep them apart, but
for GPT-2. Its ``llama`` turns the channels 2i and 2i + 1 of a head together, ours (and its ``qwen2`` and ``qwen3``) the
channels i and i + D/2: so for ``llama`` the rows of queries and keys change places within each head.

Names: the GGUF specification (``docs/gguf.md`` of ggml, "Standardized tensor names").
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from homespun.common.errors import HomespunError
from homespun.interchange.forms import Form, find_fault, forms_of
from homespun.interchange.gguf.architectures import Architecture
from homespun.interchange.gguf.container import Container
from homespun.interchange.gguf.cursor import damaged
from homespun.interchange.gguf.numbers import NUMBERS, Number
from homespun.interchange.gguf.write_container import StoredTensor
from homespun.models.settings import GPTConfig

# Our modules and theirs; those that are cut have several.
OUTSIDE = {
    "token_embedding": "token_embd",
    "positions": "position_embd",
    "final_norm": "output_norm",
    "head": "output",
}
IN_BLOCK = {
    "attention_norm": ("attn_norm",),
    "attention.query_key_value": ("attn_q", "attn_k", "attn_v"),
    "attention.query_norm": ("attn_q_norm",),
    "attention.key_norm": ("attn_k_norm",),
    "attention.output": ("attn_output",),
    "feedforward_norm": ("ffn_norm",),
    "feedforward.widen": ("ffn_up",),
    "feedforward.gate_and_widen": ("ffn_gate", "ffn_up"),
    "feedforward.output": ("ffn_down",),
}
FUSED_NAME = "attn_qkv"
BLOCK_NAME = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")


@dataclass(frozen=True)
class Cut:
    """Some rows of one of our tensors, as a tensor of theirs. ``heads``: interleaved in so many heads; 0: as is."""

    name: str
    rows: int
    heads: int = 0


def cuts_of(name: str, form: Form, config: GPTConfig, architecture: Architecture) -> list[Cut]:
    """The tensors of theirs that one of ours becomes."""
    match = BLOCK_NAME.fullmatch(name)
    if match is None:
        module, _, last = name.rpartition(".")
        return [Cut(f"{OUTSIDE[module]}.{last}", form.shape[0])]
    layer, module, last = match.groups()
    if architecture.fused and module == "attention.query_key_value":
        return [Cut(f"blk.{layer}.{FUSED_NAME}.{last}", form.shape[0])]
    heads = (0, 0, 0)
    if architecture.interleaved and module == "attention.query_key_value":
        heads = (config.heads, config.count_of_key_value_heads, 0)
    names = IN_BLOCK[module]
    return [
        Cut(f"blk.{layer}.{theirs}.{last}", rows, turned)
        for theirs, rows, turned in zip(names, form.parts, heads[: len(names)], strict=True)
    ]


def interleave(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """(H D, ...) with channel i + D/2 brought next to channel i in each head: the order 0, D/2, 1, D/2 + 1, …"""
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def undo_interleave(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """The inverse."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def stored_tensors(
    config: GPTConfig, tensors: dict[str, torch.Tensor], architecture: Architecture, number: Number
) -> list[StoredTensor]:
    """Our tensors as they are written; one that is missing, too much, or of another shape is a ``HomespunError``."""
    forms = forms_of(config)
    if fault := find_fault({name: form.shape for name, form in forms.items()}, tensors):
        raise HomespunError(fault)
    stored = []
    for name, form in forms.items():
        if not tensors[name].is_floating_point():
            raise HomespunError(f"the tensor {name} is of type {tensors[name].dtype}, which is not floating point")
        cuts = cuts_of(name, form, config, architecture)
        for cut, rows in zip(cuts, tensors[name].split([cut.rows for cut in cuts]), strict=True):
            weights = interleave(rows, cut.heads) if cut.heads else rows
            stored.append(StoredTensor(cut.name, weights, number_for(name, weights.shape, number)))
    return stored


def number_for(name: str, shape: Iterable[int], number: Number) -> Number:
    """How a tensor is stored where most are stored as ``number``.

    As llama.cpp's own converters have it: gains, biases and learned positions stay in F32 (they are small, and added to
    what is F32); and a row that does not fill whole blocks is F16.
    """
    *rows, columns = shape
    if not rows or name == "positions.weight":
        return NUMBERS["F32"]
    return NUMBERS["F16"] if columns % number.weights else number


def read_tensors(container: Container, config: GPTConfig, architecture: Architecture) -> dict[str, torch.Tensor]:
    """The tensors of a file under our names, float32; one that is missing, too much or not finite is named."""
    forms = forms_of(config)
    left = dict.fromkeys(container.entries)
    tensors = {}
    for name, form in forms.items():
        cuts = cuts_of(name, form, config, architecture)
        for cut in cuts:
            check_entry(container, cut, form)
            left.pop(cut.name)
        rows = [container.tensor(cut.name) for cut in cuts]
        turned = [undo_interleave(part, cut.heads) if cut.heads else part for cut, part in zip(cuts, rows, strict=True)]
        tensors[name] = turned[0].contiguous() if len(turned) == 1 else torch.cat(turned)
        if not bool(tensors[name].isfinite().all()):
            raise damaged(container.path, f"the tensor {cuts[0].name} has numbers that are infinite or no numbers")
    if left:
        raise HomespunError(
            f"{container.path}: the tensor {next(iter(left))} is one that homespun's model does not have; "
            "it does not read the file"
        )
    return tensors


def check_entry(container: Container, cut: Cut, form: Form) -> None:
    """Compare the shape of a tensor in the file with what the configuration asks for."""
    entry = container.entries.get(cut.name)
    if entry is None:
        raise damaged(container.path, f"the tensor {cut.name} is missing")
    wanted = (cut.rows, *form.shape[1:])
    if entry.shape != wanted:
        raise damaged(container.path, f"the tensor {cut.name} has shape {entry.shape}, the model needs {wanted}")
