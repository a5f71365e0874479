"""Messages to ids: as the template in the file says, by Jinja; nobody types a control token."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from homespun.tokenizer.chat import CHATML, can_chat, newest, opening, prompt, tokens_of, turns, with_chat
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS, END_OF_TEXT, END_OF_TURN, START_OF_TURN
from homespun.tokenizer.tokenizer import Tokenizer

MERGES = [(104, 101), (108, 108), (256, 257), (258, 111), (32, 119), (10, 10)]
TOKENIZER = with_chat(Tokenizer("gpt2", MERGES))
TYPED = st.lists(
    st.sampled_from([*DEFAULT_SPECIAL_TOKENS, "hello", " w", "\n", "<|im_", "end|>", "é", "ক"]), max_size=8
)
TEXTS = st.one_of(st.text(max_size=20), TYPED.map("".join))
TALK = [("system", "Be brief."), ("user", "hello w"), ("assistant", "hello"), ("user", "Again?")]


def render(messages: list[tuple[str, str]], ask: bool) -> str:
    """What other programs make of the template."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    said = [{"role": role, "content": content} for role, content in messages]
    return environment.from_string(CHATML).render(messages=said, add_generation_prompt=ask)


def test_ids_are_those_of_the_rendered_template() -> None:
    wanted = TOKENIZER.encode(render(TALK, ask=True), allowed_special=(START_OF_TURN, END_OF_TURN))
    assert prompt(TOKENIZER, turns(TOKENIZER, TALK)) == wanted
    assert opening(TOKENIZER)[0] == TOKENIZER.special_tokens[START_OF_TURN]


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXTS), min_size=1, max_size=4))
def test_nobody_can_type_a_control_token(messages: list[tuple[str, str]]) -> None:
    control = set(TOKENIZER.special_tokens.values())
    for one, (role, content) in zip(turns(TOKENIZER, messages), messages, strict=True):
        assert one.role == role
        assert not control & {*one.said[:-1], *one.before[1:], *one.after}
        assert one.said[-1] == TOKENIZER.special_tokens[END_OF_TURN]
        text = TOKENIZER.decode_bytes(one.said[:-1]).decode("utf-8", "replace")
        assert text == content.encode("utf-8", "replace").decode("utf-8") or "\ufffd" in text


@given(TEXTS)
def test_a_prompt_has_the_control_tokens_of_its_messages_alone(content: str) -> None:
    ids = prompt(TOKENIZER, turns(TOKENIZER, [("user", content)]))
    start, end = (TOKENIZER.special_tokens[name] for name in (START_OF_TURN, END_OF_TURN))
    assert ids.count(start) == 2 and ids.count(end) == 1
    assert not {TOKENIZER.special_tokens[END_OF_TEXT]} & set(ids)


def test_a_tokenizer_without_control_tokens_gets_them_behind_all_others() -> None:
    plain = Tokenizer("gpt2", MERGES, special_tokens=(END_OF_TEXT,))
    assert not can_chat(plain)
    chatting = with_chat(plain)
    assert can_chat(chatting) and chatting.vocabulary_size == plain.vocabulary_size + 2
    assert dict(chatting.special_tokens) == {END_OF_TEXT: 262, START_OF_TURN: 263, END_OF_TURN: 264}
    assert chatting.encode("hello") == plain.encode("hello")
    assert with_chat(chatting).identity() == chatting.identity()


def test_the_form_stands_in_the_file(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path / "tokenizer.json")
    assert can_chat(Tokenizer.load(tmp_path / "tokenizer.json"))
    other = TOKENIZER.with_chat_template("{{ messages }}")
    assert not can_chat(other)


@pytest.mark.parametrize(
    ("lost", "kept"), [(0, [0, 1, 2, 3, 4, 5]), (1, [0, 3, 4, 5]), (21, [0, 3, 4, 5]), (999, [0, 5])]
)
def test_the_oldest_questions_go_first_and_the_system_stays(lost: int, kept: list[int]) -> None:
    talk = [("system", "s"), ("user", "a" * 20), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")]
    said = turns(TOKENIZER, talk)
    assert newest(said, sum(map(tokens_of, said)) - lost) == [said[number] for number in kept]
