"""Pairs as batches: each once per epoch, of like length together, filled up so that nothing else can be seen."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.batches.batch import IGNORED, Batch
from homespun.batches.encode_corpus import encode_corpus
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.batches.pairs import Pairs
from homespun.batches.shards import ShardWriter, TokenShards, dtype_for
from homespun.batches.sources import SOURCES, Asked
from homespun.common.errors import DamagedFileError, HomespunError
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.special import SEPARATOR
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import train_tokenizer

END, MIDDLE, FIRST = 0, 1, 2  # end of text, separator, first ordinary id
Pair = tuple[tuple[int, ...], tuple[int, ...]]


def shards_of(folder: Path, documents: list[list[int]], tokens_per_shard: int = 1 << 20) -> TokenShards:
    folder.mkdir(exist_ok=True)
    writer = ShardWriter(folder, "train", dtype_for(100), tokens_per_shard)
    for ids in documents:
        writer.add(ids)
    writer.flush()
    split = {"shards": [asdict(entry) for entry in writer.entries]}
    manifest = {"format": 1, "vocabulary_size": 100, "splits": {"train": split}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return TokenShards(folder, "train")


def chance_pairs(count: int, seed: int, longest: int = 12) -> list[Pair]:
    """Pairs of chance tokens; the first two of a source are its number."""
    generator = np.random.default_rng(seed)
    return [
        (
            (FIRST + number // 90, FIRST + number % 90, *generator.integers(FIRST, 100, generator.integers(longest))),
            tuple(generator.integers(FIRST, 100, generator.integers(1, longest))),
        )
        for number in range(count)
    ]


def pairs_of(folder: Path, pairs: list[Pair], context: int = 64, tokens_per_shard: int = 1 << 20) -> Pairs:
    documents = [[END, *source, MIDDLE, *target] for source, target in pairs]
    return Pairs(shards_of(folder, documents, tokens_per_shard), context, END, MIDDLE)


def unpack(batch: Batch) -> list[Pair]:
    """The pairs of a batch; everything about what fills it up is checked on the way."""
    assert batch.source is not None and batch.source_documents is not None
    found = []
    for source, documents, inputs, targets in zip(
        batch.source.tolist(), batch.source_documents.tolist(), batch.inputs.tolist(), batch.targets.tolist(),
        strict=True,
    ):  # fmt: skip
        length = sum(documents)
        assert documents == [1] * length + [0] * (len(documents) - length)
        assert source[length - 1] == MIDDLE and MIDDLE not in source[: length - 1] and not any(source[length:])
        counted = [target for target in targets if target != IGNORED]
        assert targets == counted + [IGNORED] * (len(targets) - len(counted))
        assert counted[-1] == END and inputs[0] == END and inputs[1 : len(counted)] == counted[:-1]
        assert not any(inputs[len(counted) :])
        found.append((tuple(source[: length - 1]), tuple(counted[:-1])))
    assert any(row[-1] for row in batch.source_documents.tolist())  # no longer than the longest
    assert any(row[-1] != IGNORED for row in batch.targets.tolist())
    return found


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 150),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**63),
    tokens_per_shard=st.sampled_from([40, 300, 1 << 20]),
)
def test_every_pair_once_per_epoch(
    count: int, batch_size: int, seed: int, tokens_per_shard: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pairs = chance_pairs(count, seed)
    batches = LikeLengthBatches(
        pairs_of(tmp_path_factory.mktemp("pairs"), pairs, tokens_per_shard=tokens_per_shard), batch_size, seed
    )
    assert batches.windows == count
    # Pools are whole batches, epochs are not: so many epochs end together with a pool.
    size = batches.batches_in_pool * batch_size
    pools = count // np.gcd(count, size)
    found = [pair for number in range(pools * batches.batches_in_pool) for pair in unpack(batches.batch(number))]
    assert sorted(found) == sorted(pairs * int(pools * size // count))


def test_batches_are_a_function_of_seed_and_number_and_epochs_differ(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path, chance_pairs(300, 3))

    def batch(seed: int, number: int) -> list[Pair]:
        return unpack(LikeLengthBatches(pairs, 8, seed).batch(number))

    walked = LikeLengthBatches(pairs, 8, 5)
    for number in (0, 40, 3, 77, 3, 100_000_007):
        assert unpack(walked.batch(number)) == batch(5, number)
    epochs = [[unpack(walked.batch(number)) for number in range(37 * epoch, 37 * epoch + 37)] for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert batch(5, 0) != batch(6, 0)


def test_processes_share_a_batch_by_turns(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path, chance_pairs(100, 3))
    whole = LikeLengthBatches(pairs, 12, 5)
    for number in (0, 4, 9):
        parts = [unpack(LikeLengthBatches(pairs, 12, 5, rank, 3).batch(number)) for rank in range(3)]
        assert [part[i] for i in range(4) for part in parts] == unpack(whole.batch(number))


def test_little_is_filled_up(tmp_path: Path) -> None:
    """Of sources as long as their targets, by and large, as translations are."""
    generator = np.random.default_rng(1)
    lengths = generator.integers(3, 40, 4000)
    pairs = [((FIRST,) * int(n), (FIRST,) * max(1, int(n + generator.integers(-3, 4)))) for n in lengths]
    batches = LikeLengthBatches(pairs_of(tmp_path, pairs), 32, 1)
    made = [batches.batch(number) for number in range(125)]
    filled = sum(int((batch.source_documents == 0).sum() + (batch.targets == IGNORED).sum()) for batch in made)
    assert filled < 0.1 * sum(batch.source.numel() + batch.targets.numel() for batch in made)
    widths = [batch.inputs.shape[1] for batch in made[:60]]
    assert abs(np.corrcoef(widths[1:], widths[:-1])[0, 1]) < 0.5  # not the short ones first


def test_validation_has_every_pair_once(tmp_path: Path) -> None:
    pairs = chance_pairs(50, 3)
    batches = [unpack(batch) for batch in every_row(pairs_of(tmp_path, pairs), 8)]
    assert [len(batch) for batch in batches] == [8] * 6 + [2]
    assert sorted(pair for batch in batches for pair in batch) == sorted(pairs)


def test_pairs_longer_than_the_context_are_left_out_and_counted(tmp_path: Path) -> None:
    row = (FIRST,)
    fitting: list[Pair] = [(row * 7, row * 7), (row, row * 7), (row * 7, row)]
    pairs = pairs_of(tmp_path, [*fitting, (row * 8, row), (row, row * 8)], context=8)
    assert (len(pairs), pairs.left_out) == (3, 2)
    assert sorted(pair for batch in every_row(pairs, 2) for pair in unpack(batch)) == sorted(fitting)
    with pytest.raises(HomespunError, match="none of the 5 pairs"):
        pairs_of(tmp_path, [*fitting, (row * 8, row), (row, row * 8)], context=1)


@pytest.mark.parametrize(
    "documents",
    [
        [[END, 5, MIDDLE, 6], [END, 7, 8]],
        [[END, 5, MIDDLE, 6], [END, 7, MIDDLE, 6, MIDDLE, 8], [END, 7]],
        [[END, 5, MIDDLE, 6], [END, 7, MIDDLE, MIDDLE, 8]],
    ],
)
def test_shards_of_other_things_are_refused(tmp_path: Path, documents: list[list[int]]) -> None:
    with pytest.raises(DamagedFileError, match="does not hold pairs"):
        Pairs(shards_of(tmp_path, documents), 8, END, MIDDLE)


def test_missing_starts_are_named(tmp_path: Path) -> None:
    pairs_of(tmp_path, chance_pairs(9, 1))
    (tmp_path / "train-00000.starts.bin").unlink()
    with pytest.raises(DamagedFileError, match=r"train-00000.starts.bin tells of 0 documents, the manifest of 9"):
        Pairs(TokenShards(tmp_path, "train"), 64, END, MIDDLE)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    config = TokenizerConfig(vocabulary_size=300, special_tokens=(SEPARATOR,))
    return train_tokenizer(["a man and a dog, ein Mann und ein Hund " * 20], config)[0]


def test_from_texts_to_batches_and_back(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """Names of special tokens in a text are text: nobody can write a separator."""
    pairs = [(f"a man {i}", f"ein Mann {i}") for i in range(40)]
    pairs += [(f"{SEPARATOR} a <|endoftext|>", f"{SEPARATOR}ö{SEPARATOR}")]
    encode_corpus(lambda split: (side for pair in pairs for side in pair), tokenizer, tmp_path / "s",
                  separators=[SEPARATOR])  # fmt: skip
    asked = Asked(tmp_path / "s", 64, 7, end_of_text=tokenizer.end_of_text, special_tokens=tokenizer.special_tokens)
    source = SOURCES["translation"]
    found = []
    for batch in source.validation(asked):
        assert batch.source is not None
        for ids, targets in zip(batch.source.tolist(), batch.targets.tolist(), strict=True):
            ids = ids[: ids.index(tokenizer.special_tokens[SEPARATOR])]
            found.append((tokenizer.decode(ids), tokenizer.decode(targets[: targets.index(tokenizer.end_of_text)])))
    assert sorted(found) == sorted(pairs)
    assert source.text_bytes(asked, tokenizer) == sum(len(target.encode()) for _, target in pairs)
    assert source.prompts(asked, tokenizer) == ["a man 0", "a man 1", "a man 2"]
    assert source.left_out(asked) == ""
    assert source.training(asked).windows == 41
    narrow = Asked(tmp_path / "s", 12, 7, end_of_text=tokenizer.end_of_text, special_tokens=tokenizer.special_tokens)
    assert source.left_out(narrow) == (
        "pairs longer than the context of 12 tokens are left out: 1 of 41 (train), 1 of 41 (validation)"
    )
    assert source.text_bytes(narrow, tokenizer) == sum(len(target.encode()) for _, target in pairs[:-1])


def test_batches_of_different_sizes_pad_alike(tmp_path: Path) -> None:
    """A batch cut into micro-batches or shares keeps its rows."""
    batch = LikeLengthBatches(pairs_of(tmp_path, chance_pairs(60, 4)), 10, 1).batch(0)
    parts = batch.split(4)
    assert [len(part.inputs) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat([part.source for part in parts]), batch.source)
    shared = [batch.share(rank, 3) for rank in range(3)]
    assert sum(int((part.targets != IGNORED).sum()) for part in shared) == int((batch.targets != IGNORED).sum())
