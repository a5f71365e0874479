"""The split: nothing is lost, scripts and numbers stay whole, and hostile text takes linear time."""

import re
import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from homespun.common.errors import UsageError
from homespun.tokenizer.patterns import HOMESPUN, HOMESPUN_ASCII, PATTERNS
from homespun.tokenizer.split import WINDOW, Splitter, bytes_of_text, text_of_bytes

SPLITTERS = {name: Splitter(name) for name in PATTERNS}
TRICKY = st.text(
    st.sampled_from("aZé字ক্িא\u200d\u200c'\u2019_s1২½ \t\n\r\u00a0.-({\U0001f469\udc80\ud800"), max_size=40
)


def pieces(text: str, pattern: str = "homespun") -> list[str]:
    return list(SPLITTERS[pattern].split(text))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_joined_pieces_are_the_text(pattern: str, mixed_text: str) -> None:
    @given(st.one_of(TRICKY, st.text(max_size=40), st.text(st.characters(), max_size=20)))
    def check(text: str) -> None:
        found = pieces(text, pattern)
        assert "".join(found) == text
        assert all(found)

    check()
    assert "".join(pieces(mixed_text, pattern)) == mixed_text


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_expression_splits_as_the_full_one(text: str) -> None:
    assert re.findall(HOMESPUN_ASCII, text) == regex.findall(HOMESPUN, text)


def test_ascii_expression_on_real_code(shakespeare: str) -> None:
    with open(__file__, encoding="utf-8") as file:
        source = "".join(filter(str.isascii, file.read()))
    for text in (source, shakespeare[:200_000]):
        assert re.findall(HOMESPUN_ASCII, text) == regex.findall(HOMESPUN, text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_windows_change_nothing(pattern: str, mixed_text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    splitter = SPLITTERS[pattern]
    whole = regex.findall(splitter.pattern.expression, mixed_text)
    for window in range(60):
        monkeypatch.setattr("homespun.tokenizer.split.WINDOW", window)
        windows = list(splitter.windows(mixed_text))
        assert len(windows) > 1
        assert [piece for found in splitter.coarse(mixed_text) for piece in found] == whole


def test_words_keep_their_marks_and_joiners() -> None:
    assert pieces("আমি বাংলায় বলি") == ["আমি", " বাংলায়", " বলি"]
    assert pieces("हिन्दी में") == ["हिन्दी", " में"]
    assert pieces("ภาษาไทย ง่าย") == ["ภาษาไทย", " ง่าย"]
    assert pieces("מַה שְּׁלוֹמְךָ") == ["מַה", " שְּׁלוֹמְךָ"]
    assert pieces("می‌خواهم ක්‍ර") == ["می‌خواهم", " ක්‍ර"]
    assert len(pieces("हिन्दी", "gpt2")) > 1  # what goes wrong without \p{M}


def test_digits_are_grouped_from_the_right() -> None:
    assert pieces("1234567") == ["1", "234", "567"]
    assert pieces("123456") == ["123", "456"]
    assert pieces("12") == ["12"]
    assert pieces("x = 1000;") == ["x", " =", " ", "1", "000", ";"]
    assert pieces("১২৩৪৫") == ["১২", "৩৪৫"]
    assert pieces("1234", "gpt2") == ["1234"]


def test_code_white_space_and_contractions() -> None:
    assert pieces("def f(x):\n        return x_1") == [
        *("def", " f", "(", "x", "):", "\n", "        ", "return", " x", "_", "1"),
    ]
    assert pieces("snake_case_name __init__") == ["snake", "_case", "_name", " __", "init", "__"]
    assert pieces("one\n\n two \n\ttabs") == ["one", "\n\n", " two", " ", "\n", "\t", "tabs"]
    assert pieces("don't it\u2019s WE'LL") == ["don", "'t", " it", "\u2019s", " WE", "'LL"]
    assert pieces("f('sum', 's')") == ["f", "('", "sum", "',", " '", "s", "')"]
    assert pieces("👩‍👩‍👧 ok") == ["👩‍👩‍👧", " ok"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_piece_joins_newlines_to_words_in_our_pattern_or_loses_them(pattern: str, mixed_text: str) -> None:
    with_newline = [piece for piece in pieces(mixed_text, pattern) if "\n" in piece]
    assert sum(piece.count("\n") for piece in with_newline) == mixed_text.count("\n")
    if pattern == "homespun":
        assert all(set(piece) <= set("\r\n") for piece in with_newline)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("unit", ["a", "A", "1", " ", "\n", " \n", "'", "'s", "_", "字", "ি", "\u200d", "aA", "\udcff"])
def test_hostile_repetition_takes_linear_time(pattern: str, unit: str) -> None:
    text = unit * (300_000 // len(unit))
    started = time.process_time()
    count = sum(map(len, pieces(text, pattern)))
    assert count == len(text)
    assert time.process_time() - started < 3  # measured: 0.1 s at most; quadratic would be hours


def test_a_text_without_any_border_is_one_window() -> None:
    text = "1" * (3 * WINDOW)
    assert list(SPLITTERS["homespun"].windows(text)) == [text]


@given(st.binary(max_size=64))
def test_bytes_travel_through_text(raw: bytes) -> None:
    assert bytes_of_text(text_of_bytes(raw)) == raw


def test_surrogates_that_stand_for_nothing_become_the_replacement_character() -> None:
    assert bytes_of_text("a\ud800b\udfffc") == "a\ufffdb\ufffdc".encode()
    assert bytes_of_text("\udcff\ud800") == b"\xff" + "\ufffd".encode()


def test_unknown_pattern() -> None:
    with pytest.raises(UsageError, match=r"unknown split pattern 'gpt5'; choose one of homespun, gpt2"):
        Splitter("gpt5")
