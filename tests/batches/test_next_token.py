"""The order of windows, training batches and validation batches."""

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.batches.batch import IGNORED
from homespun.batches.next_token import NextTokenBatches, validation_batches
from homespun.batches.order import key_of, permute
from homespun.batches.shards import ShardWriter, TokenShards, dtype_for
from homespun.common.errors import HomespunError


def shards_of(folder: Path, tokens: int, tokens_per_shard: int = 1 << 20) -> TokenShards:
    """A split that holds the ids 0, 1, 2 …: an id tells where it stands."""
    vocabulary = max(tokens, 1)
    writer = ShardWriter(folder, "train", dtype_for(vocabulary), tokens_per_shard)
    for start in range(0, tokens, 13):
        writer.add(range(start, min(tokens, start + 13)))
    writer.flush()
    split = {"shards": [asdict(entry) for entry in writer.entries]}
    manifest = {"format": 1, "vocabulary_size": vocabulary, "splits": {"train": split}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return TokenShards(folder, "train")


@settings(deadline=None, max_examples=150)
@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
def test_permute_is_a_bijection(size: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


def test_permute_is_a_bijection_for_every_small_size() -> None:
    for size in range(1, 300):
        assert set(permute(np.arange(size), size, 7).tolist()) == set(range(size))


@settings(deadline=None, max_examples=50)
@given(size=st.integers(1, 2**50), key=st.integers(0, 2**64 - 1), data=st.data())
def test_permute_answers_one_place_as_it_answers_all(size: int, key: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8, unique=True)))
    together = permute(places, size, key)
    assert len(set(together.tolist())) == len(places)
    assert together.min() >= 0
    assert together.max() < size
    assert [int(permute(np.array([place]), size, key)[0]) for place in places] == together.tolist()


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [permute(np.arange(1000), 1000, key_of(seed, epoch)) for seed in range(4) for epoch in range(4)]
    for i, first in enumerate(orders):
        assert not np.array_equal(first, np.arange(1000))
        for second in orders[:i]:
            assert np.mean(first == second) < 0.02  # by chance 0.001 of the places agree
    assert len({key_of(seed, epoch) for seed in range(50) for epoch in range(50)}) == 2500


def test_an_order_looks_random() -> None:
    """Neighbours are scattered: the mean distance of a random permutation is a third of its size."""
    order = permute(np.arange(20_000), 20_000, key_of(3, 0))
    assert abs(np.mean(np.abs(np.diff(order))) / 20_000 - 1 / 3) < 0.01
    assert abs(np.corrcoef(np.arange(20_000), order)[0, 1]) < 0.03


@settings(deadline=None, max_examples=40)
@given(
    tokens=st.integers(5, 400),
    context=st.integers(1, 40),
    batch_size=st.integers(1, 7),
    seed=st.integers(0, 2**63),
    tokens_per_shard=st.sampled_from([13, 40, 1 << 20]),
)
def test_every_window_once_per_epoch(
    tmp_path_factory: pytest.TempPathFactory,
    tokens: int,
    context: int,
    batch_size: int,
    seed: int,
    tokens_per_shard: int,
) -> None:
    shards = shards_of(tmp_path_factory.mktemp("shards"), tokens, tokens_per_shard)
    if (tokens - 1) // context < 2:
        with pytest.raises(HomespunError, match=f"{tokens:,} tokens, too few for a context of {context}") as raised:
            NextTokenBatches(shards, context, batch_size, seed)
        assert "\n" not in str(raised.value)
        return
    batches = NextTokenBatches(shards, context, batch_size, seed)
    epochs = 3
    starts = batches.starts(0, epochs * batches.windows).reshape(epochs, -1)
    for epoch in starts:
        in_order = np.sort(epoch)
        assert (np.diff(in_order) == context).all()  # side by side: no token is a target twice
        assert 0 <= in_order[0] < context
        assert in_order[-1] + context < tokens
    rows = []
    for number in range(-(-epochs * batches.windows // batch_size)):
        batch = batches.batch(number)
        assert batch.inputs.shape == batch.targets.shape == (batch_size, context)
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert torch.equal(batch.targets, batch.inputs + 1)  # ids are places: the target is the next token
        assert torch.equal(batch.inputs, batch.inputs[:, :1] + torch.arange(context))
        rows += batch.inputs[:, 0].tolist()
    assert rows[: starts.size] == starts.flatten().tolist()


def test_at_most_two_windows_of_text_are_left_out_of_an_epoch(tmp_path: Path) -> None:
    batches = NextTokenBatches(shards_of(tmp_path, 1000), 16, 4, seed=1)
    assert batches.windows * 16 > 1000 - 1 - 2 * 16


def test_a_batch_is_a_function_of_its_number(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, 500)
    forwards = NextTokenBatches(shards, 8, 5, seed=4)
    backwards = NextTokenBatches(shards, 8, 5, seed=4)
    other = NextTokenBatches(shards, 8, 5, seed=5)
    expected = [forwards.batch(number).inputs for number in range(30)]
    for number in reversed(range(30)):
        assert torch.equal(backwards.batch(number).inputs, expected[number])
    assert not torch.equal(other.batch(0).inputs, expected[0])
    far = forwards.batch(10**12)
    assert torch.equal(far.targets, far.inputs + 1)


def test_epochs_begin_at_different_offsets(tmp_path: Path) -> None:
    batches = NextTokenBatches(shards_of(tmp_path, 600), 16, 4, seed=2)
    offsets = {int(batches.starts(epoch * batches.windows, 1)[0]) % 16 for epoch in range(100)}
    assert len(offsets) == 16


@pytest.mark.parametrize("tokens", [0, 1, 2, 20])
def test_text_shorter_than_the_context_is_one_line(tmp_path: Path, tokens: int) -> None:
    with pytest.raises(HomespunError, match=r"add text or set --model\.context") as raised:
        NextTokenBatches(shards_of(tmp_path, tokens), 32, 4, seed=1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("tokens", [3, 4, 20, 33, 64])
def test_the_context_that_the_message_names_fits(tmp_path: Path, tokens: int) -> None:
    shards = shards_of(tmp_path, tokens)
    with pytest.raises(HomespunError) as raised:
        NextTokenBatches(shards, 100, 4, seed=1)
    named = int(str(raised.value).split("--model.context to ")[1].split()[0])
    assert NextTokenBatches(shards, named, 4, seed=1).windows >= 1
    with pytest.raises(HomespunError):
        NextTokenBatches(shards, named + 1, 4, seed=1)


@settings(deadline=None, max_examples=60)
@given(tokens=st.integers(0, 200), context=st.integers(1, 40), batch_size=st.integers(1, 6))
def test_validation_predicts_every_token_but_the_first_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, tokens: int, context: int, batch_size: int
) -> None:
    shards = shards_of(tmp_path_factory.mktemp("shards"), tokens)
    batches = list(validation_batches(shards, context, batch_size))
    for batch in batches:
        assert batch.inputs.shape == batch.targets.shape
        assert batch.inputs.shape[0] <= batch_size
        assert batch.inputs.shape[1] == context
        counted = batch.targets != IGNORED
        assert torch.equal(batch.targets[counted], batch.inputs[counted] + 1)
    targets = chain.from_iterable(batch.targets.flatten().tolist() for batch in batches)
    assert [target for target in targets if target != IGNORED] == list(range(1, tokens))
    padding = sum(int((batch.targets == IGNORED).sum()) for batch in batches)
    assert padding < context
