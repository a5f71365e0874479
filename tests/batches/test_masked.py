"""Hidden tokens: how many, by what, the same for every process and worker; in validation every token exactly once."""

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.batches.ahead import Ahead
from homespun.batches.batch import IGNORED, Batch
from homespun.batches.framing import FOLLOWS, RANDOM, Framing, Marks, SingleText, TextPair
from homespun.batches.hiding import Hiding
from homespun.batches.masked import MaskedBatches, MaskedRows, masked_validation
from homespun.batches.order import chances, key_of
from homespun.batches.shards import ShardWriter, TokenShards
from homespun.batches.sources import SOURCES, Asked
from homespun.batches.unigram import unigram_figures
from homespun.common.errors import HomespunError
from homespun.models.settings import BERTConfig

VOCABULARY = 1000
SPECIAL = {"<|endoftext|>": 996, "<|mask|>": 997, "<|class|>": 998, "<|separator|>": 999}
MARKS = Marks(998, 999)
HIDING = Hiding.by(SPECIAL, VOCABULARY)
FRAMINGS: dict[str, Framing] = {"single": SingleText(MARKS), "pairs": TextPair(MARKS)}


class Tokens:
    """A text in memory in which no token stands twice, but for documents' borders here and there."""

    def __init__(self, length: int, border_every: int = 37) -> None:
        self.ids = np.arange(length, dtype=np.int64) % 996
        self.ids[::border_every] = 996

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, start: int, length: int) -> np.ndarray:
        assert start >= 0 and start + length <= len(self.ids)
        return self.ids[start : start + length].copy()


def rows_of(framing: str, context: int = 32, share: float = 0.15) -> MaskedRows:
    return MaskedRows(FRAMINGS[framing], HIDING, context, share)


def restored(batch: Batch) -> torch.Tensor:
    """The rows as they were before anything was hidden."""
    rows = batch.inputs.clone()
    for row, places, targets in zip(rows, batch.places, batch.targets, strict=True):
        told = targets != IGNORED
        row[places[told]] = targets[told]
    return rows


def test_chances_are_even_and_a_function_of_the_key() -> None:
    found = chances(7, 100_000)
    assert found.min() >= 0 and found.max() < 1
    assert abs(found.mean() - 0.5) < 0.005 and abs(found.std() - 12**-0.5) < 0.005
    assert np.array_equal(chances(7, 10), found[:10]) and not np.array_equal(chances(8, 10), found[:10])
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.01


def test_the_shares_are_the_papers() -> None:
    batches = MaskedBatches(Tokens(50_000), rows_of("single", 102), 50, seed=3)
    kinds: Counter[str] = Counter()
    for number in range(20):
        batch = batches.batch(number)
        assert batch.places.shape == batch.targets.shape == (50, 15)  # 15 % of 100
        found = batch.inputs.gather(1, batch.places)
        kinds["mask"] += int((found == 997).sum())
        kinds["same"] += int((found == batch.targets).sum())
        kinds["other"] += int(((found != 997) & (found != batch.targets)).sum())
        others = found[(found != 997) & (found != batch.targets)]
        assert (others < 996).all()  # no mark takes a word's place
        hidden_elsewhere = torch.ones_like(batch.inputs, dtype=torch.bool).scatter_(1, batch.places, False)
        assert not ((batch.inputs == 997) & hidden_elsewhere).any()
    shares = {kind: count / kinds.total() for kind, count in kinds.items()}
    assert shares["mask"] == pytest.approx(0.8, abs=0.01)
    assert shares["same"] == pytest.approx(0.1, abs=0.01)
    assert shares["other"] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_row_is_text_between_marks_and_only_text_is_hidden(framing: str) -> None:
    text = Tokens(3000)
    batches = MaskedBatches(text, rows_of(framing), 8, seed=1)
    agreeing: Counter[tuple[int, bool]] = Counter()
    for number in range(40):
        batch = batches.batch(number)
        rows = restored(batch)
        assert (rows[:, 0] == 998).all() and (rows[:, -1] == 999).all() and batch.documents is None
        assert (batch.targets < 996).all() and (batch.targets >= 0).all()
        assert all(len(set(places)) == len(places) for places in batch.places.tolist())
        for index, row in enumerate(rows.tolist()):
            parts = "".join("S" if token == 999 else "." for token in row[1:]).split("S")[:-1]
            assert len(parts) == (1 if framing == "single" else 2) and all(parts)
            if framing == "single":
                assert batch.segments is None and batch.follows is None
                continue
            first = 1 + len(parts[0]) + 1
            assert batch.segments[index].tolist() == [0] * first + [1] * (32 - first)
            text_of_row = [token for token in row if token < 998]
            start = batches.order.starts(number * 8 + index, 1)[0]
            whole = text.read(start, 29).tolist()
            assert text_of_row[: first - 2] == whole[: first - 2]
            agreeing[int(batch.follows[index]), text_of_row == whole] += 1
    if framing == "pairs":
        assert agreeing[FOLLOWS, False] == 0 and agreeing[RANDOM, True] < 0.05 * agreeing[RANDOM, False]


def test_about_half_of_the_pairs_follow_each_other() -> None:
    batches = MaskedBatches(Tokens(30_000), rows_of("pairs"), 100, seed=1)
    follows = torch.cat([batches.batch(number).follows for number in range(20)])
    assert set(follows.tolist()) == {FOLLOWS, RANDOM}
    assert float(follows.float().mean()) == pytest.approx(0.5, abs=0.05)


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, 10**6),
    seed=st.integers(0, 2**63),
    processes=st.sampled_from([1, 2, 4]),
    workers=st.integers(0, 2),
    framing=st.sampled_from(sorted(FRAMINGS)),
)
def test_batches_do_not_depend_on_processes_and_workers_wherever_a_run_goes_on(
    start: int, seed: int, processes: int, workers: int, framing: str
) -> None:
    text, rows = Tokens(900), rows_of(framing)
    wanted = MaskedBatches(text, rows, 8, seed)
    with ExitStack() as stack:
        shares = []
        for rank in range(processes):
            ahead = Ahead(MaskedBatches(text, rows, 8, seed, rank, processes).batch, workers)
            stack.callback(ahead.close)
            shares.append(ahead)
        for number in range(start, start + 3):
            parts, whole = [share(number) for share in shares], wanted.batch(number)
            for name in ("inputs", "targets", "places", "segments", "follows"):
                expected = getattr(whole, name)
                found = [getattr(part, name) for part in parts]
                assert expected is None if found[0] is None else torch.equal(torch.cat(found), expected)


def test_another_epoch_or_seed_hides_other_tokens() -> None:
    batches = MaskedBatches(Tokens(900), rows_of("single"), 1, seed=4)
    assert batches.windows > 20
    first = {tuple(batches.batch(number).places[0].tolist()) for number in range(3 * batches.windows)}
    assert len(first) > 2.9 * batches.windows
    other = MaskedBatches(Tokens(900), rows_of("single"), 1, seed=5)
    assert not torch.equal(other.batch(0).inputs, batches.batch(0).inputs)


def test_every_token_of_an_epoch_is_text_of_one_row() -> None:
    text = Tokens(900, border_every=10**9)
    batches = MaskedBatches(text, rows_of("single"), 1, seed=4)
    rows = [restored(batches.batch(number))[0, 1:-1].tolist() for number in range(batches.windows)]
    seen = Counter(token for row in rows for token in row)
    assert set(seen.values()) == {1} and len(seen) == 30 * batches.windows > 900 - 2 * 30 - 1


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 400),
    context=st.integers(8, 40),
    share=st.sampled_from([0.15, 0.4, 0.05]),
    batch_size=st.integers(1, 5),
    framing=st.sampled_from(sorted(FRAMINGS)),
)
def test_validation_tells_every_token_of_the_text_exactly_once(
    length: int, context: int, share: float, batch_size: int, framing: str
) -> None:
    text, passes = Tokens(length), BERTConfig(masked_share=share).validation_passes
    batches = list(masked_validation(text, rows_of(framing, context, share), passes, batch_size))
    told: Counter[int] = Counter()
    for batch in batches:
        assert batch.inputs.shape[1] == context and len(batch.inputs) <= batch_size
        told.update(batch.targets[batch.targets != IGNORED].tolist())
        counted = batch.targets != IGNORED
        assert (batch.inputs.gather(1, batch.places)[counted] == 997).all()  # always by the mask
        assert int((batch.inputs == 997).sum()) == int(counted.sum())
        if batch.documents is not None:
            assert torch.equal(batch.inputs != 0, batch.documents == 1)  # no token of the text is 0
    assert told == Counter(token for token in text.ids.tolist() if token < 996)
    again = list(masked_validation(text, rows_of(framing, context, share), passes, batch_size))
    assert all(torch.equal(one.inputs, other.inputs) for one, other in zip(batches, again, strict=True))


def test_the_pairs_of_validation_are_half_and_half_and_do_not_depend_on_the_batch_size() -> None:
    text = Tokens(29 * 20 + 7, border_every=10**9)
    for batch_size in (1, 3, 50):
        batches = list(masked_validation(text, rows_of("pairs"), 7, batch_size))
        follows = [value for batch in batches for value in batch.follows.tolist()]
        assert Counter(follows) == {FOLLOWS: 10 * 7, RANDOM: 10 * 7, IGNORED: 7}
        for batch in batches:
            for row, label in zip(restored(batch).tolist(), batch.follows.tolist(), strict=True):
                words = [token for token in row[: row.index(999)] if token < 998]
                other = row[row.index(999) + 1]
                assert (other == words[-1] + 1) == (label == FOLLOWS)


def test_tokens_are_counted_without_padding() -> None:
    *whole, last = masked_validation(Tokens(100), rows_of("single"), 7, 1)
    assert int(whole[0].tokens()) == 32 and int(last.tokens()) == 12
    assert int(Batch(torch.zeros(2, 3), torch.tensor([[1, 2, IGNORED], [3, 4, 5]])).tokens()) == 5


def test_a_share_of_a_batch_with_too_few_rows_has_rows_that_count_for_nothing() -> None:
    batch = next(masked_validation(Tokens(29 * 3), rows_of("pairs"), 7, 3))
    parts = [batch.share(rank, 2) for rank in range(2)]
    assert [len(part.inputs) for part in parts] == [2, 2]
    assert parts[1].targets[1].tolist() == [IGNORED] * 5 and parts[1].follows[1] == IGNORED
    assert sum(int((part.targets != IGNORED).sum()) for part in parts) == int((batch.targets != IGNORED).sum())


def test_a_row_of_marks_has_nothing_to_tell() -> None:
    row = np.array([998, 996, 996, 999])
    for exercise in (HIDING.at_random(row, 2, 5), *HIDING.in_turn(row, 3, 2, 5)):
        assert exercise.targets.tolist() == [IGNORED, IGNORED] and np.array_equal(exercise.inputs, row)


def write_shards(folder: Path, splits: dict[str, np.ndarray]) -> Path:
    """Shards of these splits."""
    entries = {}
    for split, ids in splits.items():
        writer = ShardWriter(folder, split, np.dtype("<u2"))
        writer.add(ids)
        writer.flush()
        entries[split] = {"shards": [asdict(entry) for entry in writer.entries]}
    manifest = {"format": 1, "vocabulary_size": VOCABULARY, "splits": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("next_sentence", [False, True])
def test_the_source_follows_the_settings_of_the_model(tmp_path: Path, next_sentence: bool) -> None:
    folder = write_shards(tmp_path, {"train": Tokens(900).ids, "validation": Tokens(200).ids})
    config = BERTConfig(context=32, next_sentence=next_sentence, masked_share=0.3)
    asked = Asked(folder, 32, 4, 1, special_tokens=SPECIAL, model=config)
    source = SOURCES[config.task]
    batch = source.training(asked).batch(0)
    assert batch.places.shape == (4, 9) and (batch.follows is not None) == next_sentence
    told = sum(int((batch.targets != IGNORED).sum()) for batch in source.validation(asked))
    assert told == int((Tokens(200).ids < 996).sum())
    assert source.baseline(asked)["unigram_accuracy"] > 0


def test_a_text_too_short_and_a_tokenizer_without_a_mask_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match=r"40 tokens, too few for a context of 32: .* to 21 or less") as raised:
        MaskedBatches(Tokens(40), rows_of("single"), 4, 1)
    assert "\n" not in str(raised.value)
    assert MaskedBatches(Tokens(40), rows_of("single", 21), 4, 1).windows == 1
    with pytest.raises(HomespunError, match=r"no special token <\|mask\|>"):
        Hiding.by({"<|endoftext|>": 3}, 10)


def test_the_figures_of_frequencies_alone(tmp_path: Path) -> None:
    train = np.array([996, 1, 1, 1, 2, 2, 3, 996])
    validation = np.array([996, 1, 2, 2, 5])
    found = unigram_figures(write_shards(tmp_path, {"train": train, "validation": validation}), list(SPECIAL.values()))
    chances = {1: 3.5, 2: 2.5, 5: 0.5}
    total = 6 + 0.5 * 996
    expected = -np.mean([np.log(chances[token] / total) for token in (1, 2, 2, 5)])
    assert found == {"unigram_loss": pytest.approx(expected), "unigram_accuracy": 0.25}
    assert len(TokenShards(tmp_path, "train")) == 8 and key_of(1, 2) != key_of(2, 1)
