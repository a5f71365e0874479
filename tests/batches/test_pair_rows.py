"""Pairs as rows of a finetuning: those that fit are the batches that they are elsewhere, others are cropped."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from homespun.batches.answer_rows import AnswerRows, Cropped, write_rows
from homespun.batches.batch import IGNORED
from homespun.batches.like_length import every_row
from homespun.batches.pair_rows import PairRows, row_of_pair
from homespun.batches.pairs import Pairs
from tests.batches.test_pair_batches import END, FIRST, MIDDLE, chance_pairs, shards_of

IDS = st.lists(st.integers(FIRST, 99), min_size=1, max_size=12)


def rows_in(folder: Path, pairs: list[tuple[tuple[int, ...], tuple[int, ...]]], room: int) -> PairRows:
    folder.mkdir()
    cropped = Cropped()
    write_rows([row_of_pair(*pair, MIDDLE, END, room, cropped) for pair in pairs], folder, "train")
    return PairRows(AnswerRows(folder, "train"), END)


def test_the_batches_are_those_of_training_from_nothing(tmp_path: Path) -> None:
    pairs = chance_pairs(70, 3)
    rows = rows_in(tmp_path / "rows", pairs, 64)
    shards = shards_of(tmp_path / "shards", [[END, *source, MIDDLE, *target] for source, target in pairs])
    whole = Pairs(shards, 64, END, MIDDLE)
    assert len(rows) == len(whole) == 70 and rows.longest == max(whole.source_lengths.max(), whole.target_lengths.max())
    for own, other in zip(every_row(rows, 9), every_row(whole, 9), strict=True):
        for name in ("inputs", "targets", "source", "source_documents"):
            assert torch.equal(getattr(own, name), getattr(other, name)), name


@given(source=IDS, target=IDS, room=st.integers(2, 14))
def test_what_does_not_fit_is_cropped_and_counted(source: list[int], target: list[int], room: int) -> None:
    cropped = Cropped()
    row = row_of_pair(source, target, MIDDLE, END, room, cropped)
    place = row.ids.index(MIDDLE)
    read, written = row.ids[:place], row.ids[place + 1 :]
    assert read == source[: room - 1] and written == [*target, END][:room]
    assert row.learned == [0] * (place + 1) + [1] * len(written)
    assert cropped == Cropped(1, int(read != source), 0, int(written[-1] != END), 0)


def test_a_target_that_is_cut_does_not_end(tmp_path: Path) -> None:
    rows = rows_in(tmp_path / "rows", [((5, 6, 7, 8), (9, 10, 11, 12)), ((5,), (9,))], 3)
    batch = rows.batch(np.array([0, 1]))
    assert batch.source is not None
    assert batch.source.tolist() == [[5, 6, MIDDLE], [5, MIDDLE, 0]]
    assert batch.inputs.tolist() == [[END, 9, 10], [END, 9, 0]]
    assert batch.targets.tolist() == [[9, 10, 11], [9, END, IGNORED]]
