"""A base in the world's layout, and an adapter for it."""

from pathlib import Path

import pytest
import torch

from tests.interchange.adapters import factors, linear_layers, write_by_hand
from tests.interchange.peft.by_hand import DOWN_PROJ, Q, export


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("llama", tmp_path_factory.mktemp("bases") / "llama")


@pytest.fixture
def adapter(llama: Path, tmp_path: Path) -> Path:
    """Two layers of the llama, of rank 3."""
    chance, layers = torch.Generator().manual_seed(2), linear_layers(llama)
    write_by_hand(tmp_path / "adapter", {layer: factors(layers[layer], 3, chance) for layer in (Q, DOWN_PROJ)})
    return tmp_path / "adapter"
