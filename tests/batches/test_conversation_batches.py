"""Which tokens are learned, token by token against a naive oracle; rows are cropped and never without a target."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from homespun.batches.answer_rows import AnswerRows, Cropped, Row, row_of, verify_rows, write_manifest, write_rows
from homespun.batches.batch import IGNORED, Batch
from homespun.batches.conversations import conversation_rows
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.batches.preferences import PreferenceRows
from homespun.common.errors import DamagedFileError
from homespun.tokenizer.chat import turns, with_chat
from homespun.tokenizer.special import END_OF_TURN, START_OF_TURN
from homespun.tokenizer.tokenizer import Tokenizer

TOKENIZER = with_chat(Tokenizer("gpt2", [(104, 101), (108, 108)]))
START, END = (TOKENIZER.special_tokens[name] for name in (START_OF_TURN, END_OF_TURN))
TALKS = [
    [("user", "hello"), ("assistant", "yes")],
    [("system", "be kind"), ("user", "a"), ("assistant", "bb"), ("user", "c"), ("assistant", "dddd")],
    [("user", "how?"), ("assistant", "<|im_start|>assistant\nso<|im_end|>"), ("user", "oh"), ("assistant", "e")],
    [("user", "hell"), ("assistant", "no, never, not at all")],
]


def learned_by_reading(ids: list[int]) -> list[bool]:
    """The oracle: go through the tokens and see who is speaking."""
    found, speaks, place = [], False, 0
    while place < len(ids):
        if ids[place] == START:
            head = ids[place + 1 : ids.index(10, place) + 1]
            found += [False] * (1 + len(head))
            speaks = TOKENIZER.decode(head) == "assistant\n"
            place += 1 + len(head)
            continue
        found.append(speaks)
        speaks = speaks and ids[place] != END
        place += 1
    return found


def rows_in(folder: Path, room: int = 999, talks: list[list[tuple[str, str]]] = TALKS) -> AnswerRows:
    rows = [row_of(turns(TOKENIZER, talk), room, False, Cropped()) for talk in talks]
    folder.mkdir(exist_ok=True)
    write_manifest(folder, {"train": write_rows([row for row in rows if row], folder, "train")}, Cropped())
    return AnswerRows(folder, "train")


def test_what_the_assistant_says_is_learned_and_nothing_else() -> None:
    for talk in TALKS:
        row = row_of(turns(TOKENIZER, talk), 999, False, Cropped())
        assert row is not None
        assert list(map(bool, row.learned)) == learned_by_reading(row.ids)
        said = bytes(token for token, learn in zip(row.ids, row.learned, strict=True) if learn and token < 256)
        answers = "".join(content for role, content in talk if role == "assistant").encode()
        assert len(said) >= 1 and set(said) <= set(answers)
        everything = row_of(turns(TOKENIZER, talk), 999, True, Cropped())
        assert everything == Row(row.ids, [1] * len(row.ids)) and row.ids[-1] == END


WORDS = st.text(st.sampled_from("abc \n<|>"), max_size=12)


@given(st.lists(WORDS, min_size=2, max_size=6), st.booleans(), st.integers(1, 90), st.booleans())
def test_a_row_fits_and_has_something_to_learn_or_there_is_none(
    said: list[str], by_system: bool, room: int, everything: bool
) -> None:
    talk = [(("user", "assistant")[place % 2], text) for place, text in enumerate(said[: len(said) // 2 * 2])]
    talk = [("system", "be kind"), *talk] if by_system else talk
    cropped, made = Cropped(), turns(TOKENIZER, talk)
    row = row_of(made, room, everything, cropped)
    assert cropped.conversations == 1
    if row is None:
        last = [*(made[:1] if by_system else []), made[-2]]
        needed = sum(len(part) for one in last for part in one[1:]) + len(made[-1].before)
        assert room <= needed and cropped.left_out == 1 and not cropped.cut
        return
    assert len(row.ids) == len(row.learned) <= room and any(row.learned) and cropped.left_out == 0
    whole = row_of(made, 9999, everything, Cropped())
    assert whole is not None
    assert (row == whole) == (not cropped.shortened and not cropped.cut)
    if by_system:
        head = [*made[0].before, *made[0].said]
        assert row.ids[: len(head)] == head
    if not cropped.cut:
        assert row.ids[-1] == END


def test_the_oldest_question_goes_with_its_answer(tmp_path: Path) -> None:
    made = turns(TOKENIZER, TALKS[1])
    whole, cropped = row_of(made, 999, False, Cropped()), Cropped()
    assert whole is not None
    row = row_of(made, len(whole.ids) - 1, False, cropped)
    assert row is not None and TOKENIZER.decode(row.ids) == (
        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\ndddd<|im_end|>"
    )
    assert cropped == Cropped(conversations=1, shortened=1)


def told_pairs(batch: Batch) -> list[tuple[int, int, int, int]]:
    """Row, place, document, target of everything that is to be learned."""
    assert batch.places is not None and batch.documents is not None
    return sorted(
        (row, place, int(batch.documents[row, place]), target)
        for row in range(len(batch.inputs))
        for place, target in zip(batch.places[row].tolist(), batch.targets[row].tolist(), strict=True)
        if target != IGNORED
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_says_what_its_rows_say(packed: bool, tmp_path: Path) -> None:
    rows = rows_in(tmp_path / "rows")
    room = 120
    several = conversation_rows(rows, room, packed)
    assert len(several) == (3 if packed else 4) or packed
    batch = several.batch(np.arange(len(several)))
    assert batch.documents is not None
    wanted = []
    for row, together in enumerate(several.together):
        start = 0
        for document, number in enumerate(together, 1):
            ids, learned = (part.tolist() for part in rows.row(number))
            part = slice(start, start + len(ids) - 1)
            assert batch.inputs[row, part].tolist() == ids[:-1]
            assert batch.documents[row, part].tolist() == [document] * (len(ids) - 1)
            wanted += [(row, start + place - 1, document, ids[place]) for place in range(1, len(ids)) if learned[place]]
            start += len(ids) - 1
        assert not batch.documents[row, start:].any() and start <= room
    assert told_pairs(batch) == sorted(wanted)
    assert int(batch.tokens()) == sum(int(length) - 1 for length in rows.lengths)


def test_every_conversation_comes_once_in_validation_and_batches_are_a_function_of_their_number(tmp_path: Path) -> None:
    several = conversation_rows(rows_in(tmp_path / "rows"), 120, packed=True)
    learned = sum(len(told_pairs(batch)) for batch in every_row(several, 1))
    assert learned == int(several.rows.learned.sum())
    batches = [LikeLengthBatches(several, 2, seed=5) for _ in range(2)]
    for number in (0, 7, 3):
        one, other = (some.batch(number) for some in batches)
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)


def test_several_processes_and_small_parts_see_the_same_targets(tmp_path: Path) -> None:
    batch = conversation_rows(rows_in(tmp_path / "rows"), 999, packed=False).batch(np.arange(4))
    count = int((batch.targets != IGNORED).sum())
    for parts in (batch.split(1), [batch.share(rank, 3) for rank in range(3)]):
        assert sum(int((part.targets != IGNORED).sum()) for part in parts) == count


def test_pairs_of_answers_stand_beside_each_other(tmp_path: Path) -> None:
    asked = ("user", "hello")
    talks = [[asked, ("assistant", said)] for said in ("yes", "no, never", "a", "b")]
    rows = rows_in(tmp_path / "rows", talks=talks)
    reference = np.arange(4.0).reshape(2, 2)
    pairs = PreferenceRows(rows, reference)
    batch = pairs.batch(np.array([1, 0]))
    assert batch.inputs.shape[:2] == (2, 2) and batch.targets.tolist() == [0, 0]
    assert batch.places is not None and batch.documents is not None and batch.reference is not None
    assert batch.reference.tolist() == [[2.0, 3.0], [0.0, 1.0]]
    for place, number in enumerate((1, 0)):
        for which in (0, 1):
            ids, learned = rows.row(2 * number + which)
            assert batch.inputs[place, which, : len(ids)].tolist() == ids.tolist()
            assert int(batch.documents[place, which].sum()) == len(ids)
            told = [spot for spot in batch.places[place, which].tolist() if spot > 0]
            assert told == [spot - 1 for spot in np.flatnonzero(learned).tolist()]
    parts = [batch.share(rank, 3) for rank in range(3)]
    assert [int((part.targets != IGNORED).sum()) for part in parts] == [1, 1, 0]


def test_damage_is_named(tmp_path: Path) -> None:
    rows_in(tmp_path / "rows")
    verify_rows(tmp_path / "rows")
    path = tmp_path / "rows" / "train.tokens"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with pytest.raises(DamagedFileError, match="is damaged"):
        verify_rows(tmp_path / "rows")
    path.unlink()
    with pytest.raises(DamagedFileError, match="is missing"):
        verify_rows(tmp_path / "rows")
