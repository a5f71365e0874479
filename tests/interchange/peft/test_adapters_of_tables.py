"""Adapters of embedding and head: differences, rows of tokens, and copies of both."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.interchange.adapters import MODEL, PREFIX, WEIGHTS, factors, linear_layers, write_by_hand
from tests.interchange.conftest import TOKENIZER
from tests.interchange.peft.by_hand import assert_same, change, changed_by_hand, complaint, export, merged


def write_with_vocabulary(base: Path, folder: Path, padding: int = 0) -> dict[str, torch.Tensor]:
    """An adapter of embedding and head, with the copies that PEFT makes of both; the differences (V, C)."""
    chance, (rows, columns) = torch.Generator().manual_seed(4), load_file(base / MODEL)["lm_head.weight"].shape
    head, table = factors((rows + padding, columns), 3, chance), factors((columns, rows + padding), 3, chance)
    tensors = write_by_hand(folder, {"lm_head": head}, target_modules=["lm_head", "embed_tokens"])
    name = f"{PREFIX}model.embed_tokens"
    tensors |= {f"{name}.lora_embedding_A": table[0], f"{name}.lora_embedding_B": table[1]}
    for layer in ("lm_head", "model.embed_tokens"):
        copy = load_file(base / MODEL)[f"{layer}.weight"]
        tensors[f"{PREFIX}{layer}.base_layer.weight"] = torch.cat([copy, torch.zeros(padding, columns)])
    save_file(tensors, folder / WEIGHTS)
    return {"lm_head": 2 * head[1] @ head[0], "model.embed_tokens": 2 * (table[1] @ table[0]).T}


@pytest.mark.parametrize("padding", [0, 5])
def test_embedding_and_head(padding: int, tmp_path: Path) -> None:
    base = export("llama", tmp_path / "base")
    rows = TOKENIZER.vocabulary_size
    wanted = write_with_vocabulary(base, tmp_path / "adapter", padding)
    found = merged(base, tmp_path / "adapter")
    assert_same(found, changed_by_hand(base, {name: one[:rows] for name, one in wanted.items()}))


def test_a_copy_of_another_base(tmp_path: Path) -> None:
    base = export("llama", tmp_path / "base")
    write_with_vocabulary(base, tmp_path / "adapter")
    name = f"{PREFIX}lm_head.base_layer.weight"
    tensors = load_file(tmp_path / "adapter" / WEIGHTS)
    tensors[name][3, 3] += 1
    save_file(tensors, tmp_path / "adapter" / WEIGHTS)
    assert f"{name} has other numbers than this model; it has another base" in complaint(base, tmp_path / "adapter")


@pytest.mark.parametrize("layer", ["lm_head", "model.embed_tokens"])
def test_embedding_and_head_that_are_one(layer: str, tmp_path: Path) -> None:
    base = export("qwen3", tmp_path / "base")
    write_by_hand(tmp_path / "adapter", {layer: factors((TOKENIZER.vocabulary_size, 32), 3, torch.Generator())})
    line = complaint(base, tmp_path / "adapter")
    assert f"{WEIGHTS}: {PREFIX}{layer}.lora_" in line and "is one with embedding and head in this model" in line


ROWS = "token_adapter.trainable_tokens_delta"


def test_rows_where_embedding_and_head_are_one(tmp_path: Path) -> None:
    base, layer = export("qwen3", tmp_path / "base"), "model.layers.1.self_attn.q_proj"
    shape, of_embedding, of_head = linear_layers(base)[layer], f"{PREFIX}model.embed_tokens.", f"{PREFIX}lm_head."
    tensors = write_by_hand(tmp_path / "adapter", {layer: factors(shape, 3, torch.Generator())})
    rows = {f"{of_embedding}{ROWS}": torch.ones(2, 32)}
    both = rows | {f"{of_head}{ROWS}": torch.ones(2, 32)}
    table = load_file(base / MODEL)["model.embed_tokens.weight"]
    for tokens, more in (
        ([5, 3], rows),
        ({"embed_tokens": [5, 3]}, both),
        ({"embed_tokens": [5, 3], "lm_head": [5, 3]}, rows),
        ([5, 3], both | {f"{of_head}token_adapter.base_layer.weight": table}),
    ):
        save_file(tensors | more, tmp_path / "adapter" / WEIGHTS)
        change(tmp_path / "adapter", trainable_token_indices=tokens)
        found = merged(base, tmp_path / "adapter")["token_embedding.weight"]
        assert torch.equal(found[[3, 5]], torch.ones(2, 32)) and torch.equal(found[6:], table[6:])
    for tokens, more, says in (
        ({"lm_head": [5, 3]}, rows, "names the head alone, which is one with the embedding in this model"),
        ({"embed_tokens": [5, 3], "lm_head": [5, 4]}, rows, "has other tokens for embedding and head, which are one"),
        ([5, 3], both | {f"{of_head}{ROWS}": torch.zeros(2, 32)}, "has other rows than the embedding"),
        ([5, 3], rows | {f"{of_head}token_adapter.base_layer.weight": table + 1}, "it has another base"),
        ([5, 3], rows | {f"{of_embedding}token_adapter.other": table}, "token_adapter.other is of a layer that"),
        ([], rows, "a table that trainable_token_indices of adapter_config.json does not name"),
    ):
        save_file(tensors | more, tmp_path / "adapter" / WEIGHTS)
        change(tmp_path / "adapter", trainable_token_indices=tokens)
        assert says in complaint(base, tmp_path / "adapter")
