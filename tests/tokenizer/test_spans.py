"""Spans: which characters of a text each token stands for."""

from hypothesis import given
from hypothesis import strategies as st

from homespun.tokenizer.spans import character_spans
from homespun.tokenizer.split import bytes_of_text
from homespun.tokenizer.tokenizer import Tokenizer
from tests.tokenizer.conftest import MIXED_TEXT, SCRIPTS, WORDS


def check(tokenizer: Tokenizer, text: str) -> None:
    ids, spans = tokenizer.encode_with_spans(text)
    assert ids == tokenizer.encode(text)
    assert len(ids) == len(spans)
    reached = 0
    for token, (first, end) in zip(ids, spans, strict=True):
        assert 0 <= first < end <= len(text)
        assert tokenizer.token_bytes(token) in bytes_of_text(text[first:end])
        # Nothing is left out, and what overlaps is one character that the token before did not finish.
        assert reached - 1 <= first <= reached
        reached = end
    assert reached == len(text)


@given(st.text(max_size=60) | st.text(SCRIPTS) | st.lists(st.sampled_from(WORDS)).map("".join))
def test_every_span_holds_the_bytes_of_its_token(tokenizer: Tokenizer, text: str) -> None:
    check(tokenizer, text)


def test_mixed_text_and_surrogates(tokenizer: Tokenizer) -> None:
    check(tokenizer, MIXED_TEXT)
    check(tokenizer, "a\udcff\udc80b \ud83dx")


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_spans_of_ascii_are_exact(tokenizer: Tokenizer, text: str) -> None:
    ids, spans = tokenizer.encode_with_spans(text)
    assert [text[first:end].encode() for first, end in spans] == [tokenizer.token_bytes(token) for token in ids]
    assert [first for first, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]


def test_tokens_that_share_a_character_overlap_there() -> None:
    tokenizer = Tokenizer("homespun", [(0xF0, 0x9F), (0x98, 0x80), (ord("a"), ord("b"))])
    ids, spans = tokenizer.encode_with_spans("ab😀é")
    assert [tokenizer.token_bytes(token) for token in ids] == [b"ab", b"\xf0\x9f", b"\x98\x80", b"\xc3", b"\xa9"]
    assert spans == [(0, 2), (2, 3), (2, 3), (3, 4), (3, 4)]


def test_lengths_that_cross_characters() -> None:
    assert character_spans("é字x", [1, 3, 2]) == [(0, 1), (0, 2), (1, 3)]
    assert character_spans("", []) == []
