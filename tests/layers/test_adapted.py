"""Layers with an adapter beside their weights: what the changed weights would give, and the base untouched."""

import pytest
import torch
from torch import nn

from homespun.layers.adapted import (
    EmbeddingWithDifferences,
    EmbeddingWithRows,
    LinearWithDifferences,
    Piece,
    ReadOutWithRows,
)

V, C = 12, 6
X = torch.randn(3, 5, C, generator=torch.Generator().manual_seed(1))
TOKENS = torch.arange(V).reshape(2, 6)


def pieces(rows: int) -> list[Piece]:
    """Of all rows, of some, and of some again."""
    chance = torch.Generator().manual_seed(2)
    return [
        Piece(first, torch.randn(count, rank, generator=chance), torch.randn(rank, C, generator=chance), 0.5 * rank)
        for first, count, rank in ((0, rows, 2), (3, 4, 1), (5, rows - 5, 3))
    ]


def changed(weight: torch.Tensor, some: list[Piece]) -> torch.Tensor:
    whole = weight.detach().clone()
    for piece in some:
        whole[piece.first_row : piece.first_row + len(piece.up)] += piece.scale * piece.up @ piece.down
    return whole


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_differences_of_a_linear_layer(bias: bool) -> None:
    base, some = nn.Linear(C, V, bias=bias), pieces(V)
    before, layer = base.weight.clone(), LinearWithDifferences(base, some)
    wanted = nn.functional.linear(X, changed(base.weight, some), base.bias)
    torch.testing.assert_close(layer(X), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.weight, changed(base.weight, some))
    assert layer.base is base and torch.equal(base.weight, before) and layer.bias is base.bias


@torch.no_grad()
def test_differences_of_an_embedding() -> None:
    base, some = nn.Embedding(V, C), pieces(V)
    layer = EmbeddingWithDifferences(base, some)
    torch.testing.assert_close(layer(TOKENS), changed(base.weight, some)[TOKENS])


@pytest.mark.parametrize("places", [(0, 5), (11,), (12, 13, 14), (3, 12)])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_rows_in_place_and_behind(places: tuple[int, ...], bias: bool) -> None:
    rows, inside = torch.randn(len(places), C), [place for place in places if place < V]
    table, head = nn.Embedding(V, C), nn.Linear(C, V, bias=bias)
    embedding = EmbeddingWithRows(table, V, torch.tensor(places), rows)
    whole = torch.cat([table.weight, rows[len(inside) :]])
    whole[inside] = rows[: len(inside)]
    tokens = torch.arange(len(whole)).flip(0)[None].expand(2, -1)
    assert torch.equal(embedding(tokens), whole[tokens]) and torch.equal(embedding.weight, whole)
    if bias and len(inside) < len(places):
        return  # a new token would have no bias; such an adapter is refused
    read_out = ReadOutWithRows(head, V, torch.tensor(places), rows)
    whole = torch.cat([head.weight, rows[len(inside) :]])
    whole[inside] = rows[: len(inside)]
    torch.testing.assert_close(read_out(X), nn.functional.linear(X, whole, head.bias))
    assert torch.equal(read_out.weight, whole)


@torch.no_grad()
def test_rows_stand_for_differences() -> None:
    """As in a sum of whole matrices whose rows are then replaced."""
    table, some, rows = nn.Embedding(V, C), pieces(V), torch.randn(1, C)
    layer = EmbeddingWithRows(EmbeddingWithDifferences(table, some), V, torch.tensor([4]), rows)
    whole = changed(table.weight, some)
    whole[4] = rows[0]
    torch.testing.assert_close(layer(TOKENS), whole[TOKENS])
