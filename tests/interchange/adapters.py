"""Adapters for tests: folders written by hand, in PEFT's layout, and ones of ours at random."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from homespun.interchange.forms import forms_of
from homespun.models.adapter import EMBEDDING, HEAD, Adapter, Difference, Rows
from homespun.models.settings import TextModelConfig

MODEL, CONFIG, WEIGHTS = "model.safetensors", "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
NOT_LINEAR = ("embed_tokens", "lm_head", "wte", "wpe", "tokens_embed", "positions_embed")


def linear_layers(base: Path) -> dict[str, tuple[int, int]]:
    """The matrices in the blocks of an exported folder: name -> (outputs, inputs)."""
    gpt2 = json.loads((base / "config.json").read_text())["model_type"] in ("gpt2", "openai-gpt")
    return {
        name.removesuffix(".weight"): tuple(value.shape)[:: -1 if gpt2 else 1]
        for name, value in load_file(base / MODEL).items()
        if value.dim() == 2 and name.removesuffix(".weight").rpartition(".")[2] not in NOT_LINEAR
    }


def factors(shape: tuple[int, int], rank: int, chance: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A (r, inputs) and B (outputs, r) of PEFT."""
    rows, columns = shape
    return 0.3 * torch.randn(rank, columns, generator=chance), 0.3 * torch.randn(rows, rank, generator=chance)


def write_by_hand(
    folder: Path, pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]], **settings: Any
) -> dict[str, torch.Tensor]:
    """An adapter's folder; the tensors that lie in it."""
    folder.mkdir(exist_ok=True)
    tensors = {}
    for layer, (down, up) in pairs.items():
        tensors |= {f"{PREFIX}{layer}.lora_A.weight": down, f"{PREFIX}{layer}.lora_B.weight": up}
    values = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": list(pairs), "bias": "none"} | settings
    (folder / CONFIG).write_text(json.dumps(values))
    save_file(tensors, folder / WEIGHTS)
    return tensors


def random_adapter(config: TextModelConfig, seed: int = 3, rank: int = 3, scale: float = 2.0) -> Adapter:
    """One of ours: a difference for every part of every matrix in the blocks."""
    chance = torch.Generator().manual_seed(seed)
    differences = []
    for name, form in forms_of(config).items():
        if len(form.shape) == 2 and name.startswith("blocks."):
            first = 0
            for rows in form.parts:
                down, up = factors((rows, form.shape[1]), rank, chance)
                differences.append(Difference(name, first, up, down, scale))
                first += rows
    return Adapter(tuple(differences))


def random_rows(config: TextModelConfig, places: tuple[int, ...], seed: int = 4) -> tuple[Rows, ...]:
    """Rows of these tokens, of embedding and head."""
    chance, tables = torch.Generator().manual_seed(seed), (EMBEDDING,) if config.tied_embeddings else (EMBEDDING, HEAD)
    return tuple(
        Rows(table, places, 0.2 * torch.randn(len(places), config.width, generator=chance)) for table in tables
    )
