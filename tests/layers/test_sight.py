"""Who may look at whom: every kernel against one query at a time; windows; documents; nothing where nothing is."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.layers.attention import ATTENTIONS, CrossAttention, SelfAttention
from homespun.layers.positions import RotaryPositions
from homespun.layers.sight import CAUSAL, EVERYTHING, Sight, mask_of


def may_look(sight: Sight, row: int, query: int, key: int, seen: int, new: int) -> bool:
    """The definition, one pair at a time."""
    place = seen - new + query
    if sight.causal and key > place:
        return False
    if sight.window and abs(place - key) >= sight.window:
        return False
    if sight.documents is None:
        return True
    return int(sight.documents[0][row, query]) == int(sight.documents[1][row, key])


def attend_by_definition(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, sight: Sight) -> torch.Tensor:
    """Softmax over the keys that each query may look at."""
    out, (new, seen) = torch.empty_like(queries), (queries.shape[2], keys.shape[2])
    share = queries.shape[1] // keys.shape[1]
    for row in range(len(queries)):
        for place in range(new):
            allowed = [key for key in range(seen) if may_look(sight, row, place, key, seen, new)]
            for head in range(queries.shape[1]):
                chosen = keys[row, head // share, allowed]
                scores = chosen @ queries[row, head, place] / math.sqrt(queries.shape[-1])
                out[row, head, place] = scores.softmax(-1) @ values[row, head // share, allowed]
    return out


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(ATTENTIONS)),
    causal=st.booleans(),
    window=st.integers(0, 8),
    documents=st.booleans(),
    new=st.integers(1, 7),
    earlier=st.integers(0, 4),
    share=st.integers(1, 2),
    seed=st.integers(0, 2**31),
)
def test_every_kernel_looks_where_it_may(
    name: str, causal: bool, window: int, documents: bool, new: int, earlier: int, share: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    seen = new if documents else new + earlier
    numbers = torch.randint(3, (2, seen), generator=generator)
    sight = Sight(causal, window, (numbers[:, -new:], numbers) if documents else None)
    queries = torch.randn(2, 2 * share, new, 4, generator=generator)
    keys, values = torch.randn(2, 2, 2, seen, 4, generator=generator)
    out = ATTENTIONS[name](queries, keys, values, 0.0, sight)
    torch.testing.assert_close(out, attend_by_definition(queries, keys, values, sight), rtol=1e-4, atol=1e-5)


def test_no_mask_where_nothing_is_forbidden() -> None:
    assert mask_of(EVERYTHING, 5, 9, torch.device("cpu")) is None
    assert mask_of(CAUSAL, 1, 9, torch.device("cpu")) is None
    assert Sight(window=9).is_plainly_causal(9, 9)
    assert not Sight(window=8).is_plainly_causal(9, 9)


@pytest.mark.parametrize("name", sorted(ATTENTIONS))
def test_long_windows_in_blocks_of_queries(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    queries, keys, values = torch.randn(3, 1, 2, 520, 8, generator=generator)
    sight = Sight(window=70)
    scores = queries @ keys.transpose(2, 3) / math.sqrt(8)
    allowed = mask_of(sight, 520, 520, torch.device("cpu"))
    assert allowed is not None
    plain = scores.masked_fill(~allowed, -math.inf).softmax(-1) @ values
    torch.testing.assert_close(ATTENTIONS[name](queries, keys, values, 0.0, sight), plain, rtol=1e-4, atol=1e-5)


def test_two_documents_in_a_row_are_two_texts() -> None:
    torch.manual_seed(0)
    layer, positions = SelfAttention(16, 2, 2, 8, biases=True), RotaryPositions(32, 8, 10_000.0)
    first, second = torch.randn(1, 5, 16), torch.randn(1, 7, 16)
    together = torch.cat([first, second], dim=1)
    numbers = torch.tensor([[0] * 5 + [1] * 7])
    found = layer(together, positions, documents=numbers)
    torch.testing.assert_close(found[:, :5], layer(first, positions), rtol=1e-4, atol=1e-5)
    # Rotary positions depend on the distance alone, so a text may begin anywhere.
    torch.testing.assert_close(found[:, 5:], layer(second, positions), rtol=1e-4, atol=1e-5)


def test_cross_attention_does_not_see_padding() -> None:
    torch.manual_seed(0)
    layer = CrossAttention(16, 2, 8, biases=True)
    x, source = torch.randn(1, 4, 16), torch.randn(1, 6, 16)
    padded = torch.cat([source, torch.randn(1, 3, 16)], dim=1)
    real = torch.tensor([[1] * 6 + [0] * 3])
    found = layer(x, *layer.keys_and_values(padded), (torch.ones(1, 4, dtype=torch.long), real))
    torch.testing.assert_close(found, layer(x, *layer.keys_and_values(source)), rtol=1e-4, atol=1e-5)
