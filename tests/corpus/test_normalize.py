"""Normal form: idempotent, keeps what languages need, removes what nobody sees."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.normalize import clean_ascii, clean_characters, normalize

AWKWARD = st.text(
    st.sampled_from(
        "ab \t\n\r\x0b\x0c\x00\x1f\x7f\x85\xa0\xad\u0301\u0308e\u1100\u1161\u200b\u200c\u200d\u2028\u202e"
        "\ufeff\ud800\uffff\u2126\u0995\u09cd"
    )
)


@given(AWKWARD | st.text())
def test_normalizing_twice_changes_nothing_and_gives_clean_nfc(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert unicodedata.is_normalized("NFC", once)
    once.encode("utf-8")  # no lone surrogate is left
    assert not any(unicodedata.category(c) == "Cc" and c not in "\t\n" for c in once)
    assert "\n\n\n\n" not in once
    assert all(line == line.rstrip() for line in once.split("\n"))
    assert once == once.strip("\n")


@given(st.text(st.characters(max_codepoint=127)))
def test_the_ascii_shortcut_equals_the_general_way(text: str) -> None:
    assert clean_ascii(text) == clean_characters(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\r\nb\rc\x0cd\u2028e", "a\nb\nc\nd\ne"),
        ("\n \n  indented stays\t \n\n\n\n\n\nend  \n\n", "  indented stays\n\n\nend"),
        ("\ufeffso\xadft zero\u200bwidth\x00", "soft zerowidth"),
        ("cafe\u0301", "café"),
        ("e\u200b\u0301", "é"),
        ("\ud83d", "\ufffd"),
        ("ক্\u200cষ ক্\u200dষ", "ক্\u200cষ ক্\u200dষ"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d💻", "👩\u200d💻"),
        (" \n\t\n", ""),
    ],
)
def test_examples(before: str, after: str) -> None:
    assert normalize(before) == after


def test_bengali_text_keeps_its_marks() -> None:
    if "HOMESPUN_DATA" not in os.environ:
        pytest.skip("HOMESPUN_DATA is not set: bengali")
    pyarrow = pytest.importorskip("pyarrow")
    path = Path(os.environ["HOMESPUN_DATA"], "bengali", "cognisenti_train.tsv.zst")
    with pyarrow.CompressedInputStream(str(path), "zstd") as file:
        text = bytes(file.read()).decode("utf-8")
    kept = normalize(text)
    for mark in "\u09cd\u09be\u09bf\u200c":
        assert kept.count(mark) == unicodedata.normalize("NFC", text).count(mark) > 0
