"""Batches of labelled texts: every text as often as any other, in its frame, cropped at its end."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from homespun.batches.labelled import Frame, LabelledRows
from homespun.batches.lengths import row_length, usual_length
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.common.errors import HomespunError
from homespun.tokenizer.special import CLASS, SEPARATOR
from homespun.tokenizer.tokenizer import TokenBatch, Tokenizer


def rows_of(count: int = 37) -> LabelledRows:
    """Row n is full of the number n, and its class is n % 3."""
    lengths = np.random.default_rng(1).integers(1, 12, count)
    return LabelledRows(tokens_of(lengths), Frame((), (), 99), np.arange(count) % 3)


def tokens_of(lengths: np.ndarray) -> TokenBatch:
    ids = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
    return TokenBatch(ids, np.concatenate([[0], np.cumsum(lengths)]))


def texts_in(batch) -> list[int]:
    found = [int(row[0]) for row in batch.inputs]
    assert batch.targets.tolist() == [number % 3 for number in found]
    lengths = batch.documents.sum(1)
    assert int(lengths.max()) <= batch.inputs.shape[1] <= 11 and batch.inputs.shape[1] in (8, 11)
    for row, mask, length, number in zip(batch.inputs, batch.documents, lengths.tolist(), found, strict=True):
        assert row[:length].tolist() == [number] * length and not row[length:].any()
        assert mask.tolist() == [1] * length + [0] * (len(row) - length)
    return found


def test_an_epoch_has_every_text_once_and_is_a_function_of_the_seed() -> None:
    rows = rows_of(40)
    batches = LikeLengthBatches(rows, 8, 5, most=2)
    epoch = [text for number in range(5) for text in texts_in(batches.batch(number))]
    counts = Counter(epoch + [text for number in range(5, 10) for text in texts_in(batches.batch(number))])
    assert set(counts.values()) == {2}
    again = LikeLengthBatches(rows, 8, 5, most=2)
    assert texts_in(again.batch(7)) == texts_in(batches.batch(7))
    parts = [texts_in(LikeLengthBatches(rows, 8, 5, rank, 2, most=2).batch(3)) for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == sorted(texts_in(batches.batch(3)))


def test_validation_has_every_text_once() -> None:
    found = [text for batch in every_row(rows_of(), 8) for text in texts_in(batch)]
    assert sorted(found) == list(range(37))


def test_a_frame_is_what_the_base_knows_and_crops_the_end() -> None:
    tokenizer = Tokenizer("homespun", [], ["<|endoftext|>", CLASS, SEPARATOR])
    decoder, encoder = (Frame.of(place, 6, 1, tokenizer) for place in ("last", "first"))
    marks = tokenizer.special_tokens
    ids = tokenizer.encode("abcdefgh <|endoftext|>")
    assert decoder.row(ids).tolist() == [tokenizer.end_of_text, *ids[:5]]
    assert encoder.row(ids).tolist() == [marks[CLASS], *ids[:4], marks[SEPARATOR]]
    assert decoder.row([]).tolist() == [tokenizer.end_of_text]
    assert Frame.of("first", 1, 1, tokenizer).row(ids).tolist() == [marks[CLASS], marks[SEPARATOR]]
    with pytest.raises(HomespunError, match="no special token"):
        Frame.of("first", 6, 1, Tokenizer("homespun", [], ["<|endoftext|>"]))


def test_a_share_of_a_batch_for_each_process_has_all_of_it() -> None:
    (batch,) = every_row(rows_of(5), 8)
    shares = [batch.share(rank, 2) for rank in range(2)]
    assert torch.cat([share.targets for share in shares])[:5].tolist() == batch.targets.tolist()
    assert (shares[1].targets == -100).sum() == 1


def test_lengths_are_few_and_little_is_filled_up_for_it() -> None:
    found = [usual_length(length) for length in range(1, 4097)]
    assert sorted(set(found))[:14] == [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192]
    assert len(set(found)) == 8 + 4 * 6 and found == sorted(found)
    for length, made in enumerate(found, 1):
        assert length <= made <= max(length + 7, 1.25 * length)


def test_texts_longer_than_is_read_are_cropped_and_counted() -> None:
    rows = LabelledRows(tokens_of(np.array([3, 9, 4])), Frame((7,), (8,), 6), np.arange(3))
    assert rows.lengths.tolist() == [5, 6, 6] and rows.cropped == 1
    batch = rows.batch(np.array([1, 0]))
    assert batch.inputs.tolist() == [[7, 1, 1, 1, 1, 8], [7, 0, 0, 0, 8, 0]]
    assert batch.documents is not None and batch.documents.tolist() == [[1] * 6, [1] * 5 + [0]]


@given(
    tokens=st.integers(0, 60),
    window=st.integers(3, 12),
    windows=st.integers(1, 5),
    before=st.integers(0, 1),
    behind=st.integers(0, 1),
)
def test_a_long_text_stands_in_windows_each_in_its_frame(
    tokens: int, window: int, windows: int, before: int, behind: int
) -> None:
    frame = Frame((1001,) * before, (1002,) * behind, window, windows)
    row = frame.row(range(tokens))
    assert len(row) == int(frame.length(np.array([tokens]))[0]) <= window * windows
    parts = [row[start : start + window].tolist() for start in range(0, len(row), window)] or [[]]
    read: list[int] = []
    for part in parts:
        assert part[:before] == [1001] * before and part[len(part) - behind :] == [1002] * behind
        read += part[before : len(part) - behind]
    assert read == list(range(min(tokens, frame.room)))
    assert len(row) <= row_length(max(1, len(row)), window) <= window * windows


def test_texts_of_several_windows_are_filled_up_to_whole_ones() -> None:
    rows = LabelledRows(tokens_of(np.array([3, 9, 4])), Frame((7,), (), 4, 3), np.arange(3))
    assert rows.lengths.tolist() == [4, 12, 6] and rows.cropped == 0
    assert rows.batch(np.array([2, 0])).inputs.tolist() == [[7, 2, 2, 2, 7, 2, 0, 0], [7, 0, 0, 0, 0, 0, 0, 0]]
    assert rows.batch(np.array([0])).inputs.tolist() == [[7, 0, 0, 0]]
