"""Adapters beside their base for tests: what an import makes of both, and sums made by hand in the base's own file."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.common.errors import HomespunError
from homespun.common.progress import Silent
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.huggingface.peft.reading import read_adapter
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.models.adapter import merge
from tests.interchange.adapters import CONFIG, MODEL, PREFIX
from tests.interchange.conftest import TOKENIZER, our_model

Q, K, DOWN_PROJ = (f"model.layers.1.{name}" for name in ("self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"))
A, B = f"{PREFIX}{Q}.lora_A.weight", f"{PREFIX}{Q}.lora_B.weight"
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def export(name: str, folder: Path) -> Path:
    """A base, without the checksums that would notice every change."""
    export_model(our_model(name), TOKENIZER, FORMATS["huggingface"], folder, Writing(), Silent())
    (folder / "manifest.json").unlink()
    return folder


def read(base: Path) -> Weights:
    return FORMATS["huggingface"].read(base, Reading())


def merged(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    """What an import makes of both."""
    weights = read(base)
    return merge(weights.tensors, read_adapter(folder, weights.config, weights.tensors))


def changed_by_hand(base: Path, differences: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The base's file with matrices (outputs, inputs) added, then read."""
    found = load_file(base / MODEL)
    is_gpt2 = "transformer.wte.weight" in found or "transformer.tokens_embed.weight" in found
    for name, one in differences.items():
        found[f"{name}.weight"] += one.T if is_gpt2 and ".h." in name else one
    save_file(found, base / MODEL)
    return read(base).tensors


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


def change(folder: Path, **values: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def complaint(base: Path, folder: Path) -> str:
    """The one line."""
    with pytest.raises(HomespunError) as raised:
        merged(base, folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)
