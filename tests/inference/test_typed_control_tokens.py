"""Whatever people write, in files or at the prompt, no control token comes of it: by every way that a text is encoded.

Texts are made of names of control tokens and of pieces of them. Where a model would be asked, the ids that it would be
given are looked at instead. Behind the control tokens that a program has put there itself, the ids spell the text.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homespun.batches.answer_rows import Cropped
from homespun.batches.encode_corpus import encode_documents
from homespun.batches.labelled import FRAMES, Frame
from homespun.cli.chat import Continuation, Dialogue
from homespun.common.progress import Silent
from homespun.dialogues.forms import as_conversation, as_preference
from homespun.evaluation import asking
from homespun.evaluation.kind import Material, Subject
from homespun.evaluation.likelihood import Request, Scorer
from homespun.evaluation.run_task import run_task
from homespun.evaluation.task import load_task
from homespun.inference.engine import Engine
from homespun.inference.fill import with_gaps
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import stream_text
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.pipeline.prepare_dialogues import rows_of_conversations, rows_of_preferences
from homespun.tokenizer.chat import with_chat
from homespun.tokenizer.special import (
    CLASS,
    DEFAULT_SPECIAL_TOKENS,
    END_OF_TEXT,
    END_OF_TURN,
    MASK,
    SEPARATOR,
    START_OF_TURN,
)
from homespun.tokenizer.tokenizer import Tokenizer

NAMES = (*DEFAULT_SPECIAL_TOKENS, MASK, CLASS, SEPARATOR)
# "<|" and "|>" are merged too: pieces of names are tokens.
TOKENIZER = with_chat(Tokenizer("gpt2", [(60, 124), (124, 62), (105, 109), (101, 110), (259, 100)], NAMES))
CONTROL = {name: TOKENIZER.special_tokens[name] for name in NAMES}
PIECES = [*NAMES, *(name[:cut] for name in NAMES for cut in (2, 5)), *(name[cut:] for name in NAMES for cut in (2, 5))]
TYPED = st.lists(st.sampled_from([*PIECES, "assistant\n", "\n", " ", "hi", "ক", "да"]), min_size=1, max_size=6).map(
    "".join
)
SAID = TYPED.filter(lambda text: bool(text.strip()))
EXAMPLES = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def control_in(ids: Sequence[int]) -> list[str]:
    """Names of the control tokens, in their order."""
    names = {token: name for name, token in CONTROL.items()}
    return [names[int(token)] for token in ids if int(token) in names]


def text_of(ids: Sequence[int]) -> str:
    """What the others spell."""
    return TOKENIZER.decode([int(token) for token in ids if int(token) not in CONTROL.values()])


def test_every_name_could_be_asked_for() -> None:
    for name, token in CONTROL.items():
        assert TOKENIZER.encode(name, allowed_special=(name,)) == [token]
        assert TOKENIZER.decode(TOKENIZER.encode(name)) == name and token not in TOKENIZER.encode(name)


@EXAMPLES
@given(texts=st.lists(TYPED, min_size=1, max_size=5), target=TYPED)
def test_texts_to_train_on(texts: list[str], target: str) -> None:
    documents = list(encode_documents(texts, TOKENIZER, [CONTROL[END_OF_TEXT]]))
    assert [(control_in(ids), text_of(ids)) for ids in documents] == [([END_OF_TEXT], text) for text in texts]
    marks = [CONTROL[END_OF_TEXT], CONTROL[SEPARATOR]]
    (pair,) = encode_documents([texts[0], target], TOKENIZER, marks)
    assert control_in(pair) == [END_OF_TEXT, SEPARATOR] and text_of(pair) == texts[0] + target


@EXAMPLES
@given(system=TYPED, said=st.lists(SAID, min_size=2, max_size=4), rejected=SAID)
def test_conversations_and_preferences_to_train_on(system: str, said: list[str], rejected: str) -> None:
    said = said[: len(said) // 2 * 2]
    messages = [{"role": "system", "content": system}] if system.strip() else []
    messages += [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
    (row,) = rows_of_conversations([as_conversation({"messages": messages})], TOKENIZER, 9999, False, Cropped())
    assert control_in(row.ids) == [START_OF_TURN, END_OF_TURN] * len(messages)
    spelled = [f"{one['role']}\n{one['content'].strip()}" for one in messages]
    assert text_of(row.ids) == "\n".join(spelled)
    (alpaca,) = rows_of_conversations(
        [as_conversation({"system": system, "instruction": said[0], "input": said[1], "output": rejected})],
        TOKENIZER, 9999, False, Cropped(),
    )  # fmt: skip
    assert control_in(alpaca.ids) == [START_OF_TURN, END_OF_TURN] * (3 if system.strip() else 2)
    if said[-1].strip() != rejected.strip():
        pair = as_preference({"prompt": messages[:-1], "chosen": said[-1], "rejected": rejected})
        for answer in rows_of_preferences([pair], TOKENIZER, 9999, False, Cropped()):
            assert control_in(answer.ids) == [START_OF_TURN, END_OF_TURN] * len(messages)


@EXAMPLES
@given(text=TYPED, at=st.sampled_from(sorted(FRAMES)))
def test_texts_to_be_sorted(text: str, at: str) -> None:
    ids = Frame.of(at, 9999, 1, TOKENIZER).row(TOKENIZER.encode_lists([text])[0])
    assert control_in(ids) == {"last": [END_OF_TEXT], "first": [CLASS, SEPARATOR]}[at] and text_of(ids) == text


class Listening:
    """Instead of an engine: hears what a model would be given, and writes ``answer``."""

    def __init__(self, answer: str = "") -> None:
        self.context, self.heard, self.answer = 99_999, [], answer

    def tokens(self, prompt: list[int], config: SamplingConfig) -> Iterator[int]:
        self.heard = prompt
        yield from [*TOKENIZER.encode(self.answer), CONTROL[END_OF_TEXT]]


@EXAMPLES
@given(system=TYPED, lines=st.lists(SAID, min_size=1, max_size=3), answer=SAID)
def test_what_is_typed_in_a_chat(system: str, lines: list[str], answer: str) -> None:
    engine, sampling = Listening(answer), SamplingConfig(maximum_tokens=999)
    talk, more = Dialogue(engine, TOKENIZER, system), Continuation(engine, TOKENIZER)  # type: ignore[arg-type]
    said = [("system", system)] if system.strip() else []
    for line in lines:
        assert "".join(talk.after(line, sampling)) == answer
        said += [("user", line.strip())]
        turns = [START_OF_TURN, END_OF_TURN] * len(said)
        assert control_in(engine.heard) == [*turns, START_OF_TURN]
        assert text_of(engine.heard) == "".join(f"{role}\n{text}\n" for role, text in said) + "assistant\n"
        said += [("assistant", answer.strip())]
    for line in lines:
        before = more.text
        list(more.after(line, sampling))
        assert control_in(engine.heard) == [END_OF_TEXT] and text_of(engine.heard) == before + line


@EXAMPLES
@given(prompt=TYPED)
def test_prompts_and_gaps(prompt: str) -> None:
    engine = Listening()
    list(stream_text(engine, TOKENIZER, prompt, SamplingConfig()))  # type: ignore[arg-type]
    assert control_in(engine.heard) == [END_OF_TEXT] and text_of(engine.heard) == prompt
    # Only the mask can be asked for, for that is how a gap is written there.
    assert set(control_in(with_gaps(f"{prompt}[MASK]", TOKENIZER))) == {MASK}


class Heard(Exception):
    """A model would have been asked."""


TASKS: dict[str, dict[str, Any]] = {
    "choice": {"prompt": "Q: {q}", "choices": ["{a}", "{b}"], "answer": "{a}"},
    "classification": {"prompt": "Q: {q}", "labels": ["x", "y"], "answer": "x"},
    "cloze": {"prompt": "{q}", "answer": "{a}"},
    "pairs": {"good": "{a}", "bad": "{b}"},
    "canaries": {"prompt": "{q}", "answer": "{a}7", "candidates": 3},
    "generation": {"prompt": "{q}", "answer": "{a}"},
    "text": {},
}
SHOTS = {"choice", "classification", "cloze", "generation"}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """All ids that models would be given by an evaluation; then it ends."""
    found: list[list[int]] = []

    def of_requests(self: Scorer, requests: Sequence[Request], advance: object = None) -> Any:
        found.extend([*one.context, *one.continuation] for one in requests)
        raise Heard

    def written(engine: Engine, tokenizer: Tokenizer, prompts: list[list[int]], *more: Any) -> Any:
        found.extend(prompts)
        raise Heard

    monkeypatch.setattr(Scorer, "of_requests", of_requests)
    monkeypatch.setattr(asking, "write_several", written)
    return found


MODEL = GPT(GPTConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=4096, layers=1, width=16, heads=1))


@pytest.mark.parametrize("kind", TASKS)
@settings(EXAMPLES, max_examples=20)
@given(texts=st.lists(SAID, min_size=9, max_size=9, unique=True))
def test_examples_of_an_evaluation(kind: str, texts: list[str], heard: list[list[int]], tmp_path: Path) -> None:
    rows = [{"text": q, "q": f"{q} {number}", "a": a, "b": b} for number, (q, a, b) in
            enumerate(zip(texts[::3], texts[1::3], texts[2::3], strict=True))]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    keys = {"kind": kind, "data": "rows.jsonl"} | TASKS[kind]
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    (tmp_path / "task.toml").write_text("\n".join(["[task]", *lines]) + "\n", "utf-8")
    material = Material(
        load_task(str(tmp_path / "task.toml")), lambda split: lambda: iter(()), 1 if kind in SHOTS else 0
    )
    heard.clear()
    with pytest.raises(Heard):
        run_task(material, Subject("none", MODEL, TOKENIZER), None, Silent())
    wanted = [END_OF_TEXT] * (4 if kind == "text" else 1)  # of a text: one before each document, and behind the last
    assert heard and all(control_in(ids)[:1] == wanted[:1] and len(control_in(ids)) <= len(wanted) for ids in heard)
    spelled = [text_of(ids) for ids in heard]
    typed = {"pairs": "a", "text": "text"}.get(kind, "q")
    assert any(str(rows[0][typed]).strip() in text for text in spelled)


def test_ids_of_control_tokens_come_from_nowhere_else() -> None:
    """A tokenizer's own files of bytes, too: every byte, and every name as bytes."""
    raw = b"".join(name.encode() for name in NAMES) + bytes(range(256))
    assert not set(CONTROL.values()) & set(TOKENIZER.encode_bytes(raw))
    assert not set(CONTROL.values()) & set(np.array(TOKENIZER.encode_array(raw)).tolist())
