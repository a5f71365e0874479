"""Characters and words: round trips, the numbers of the book, scripts with marks, special names, files."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.tokenizer.simple import CharacterTokenizer, SimpleTokenizer, WordTokenizer

KINDS = (CharacterTokenizer, WordTokenizer)
TEXT = st.text(
    st.one_of(
        st.sampled_from(" \n\t'\"’.,-—()[]«»_$%<|>aBs1éকি্ষШй\u0301\u200c\u200d\u00a0\ufe0f❤👩字"),
        st.characters(codec="utf-8"),
    ),
    max_size=60,
)  # fmt: skip


@given(TEXT)
def test_known_characters_come_back(text: str) -> None:
    tokenizer = CharacterTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocabulary == tuple(sorted(set(text)))


@given(TEXT)
def test_known_words_come_back_as_ids(text: str) -> None:
    tokenizer = WordTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert tokenizer.unknown not in ids and all(0 <= token < tokenizer.vocabulary_size for token in ids)
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


@given(st.lists(st.sampled_from(["a", "-", "--", "'", '"', "(", ")", "#", "字", "\u0301", "\u200d", ".", "1"])))
def test_spaces_never_join_two_words(words: list[str]) -> None:
    tokenizer = WordTokenizer(words)
    ids = [token for word in words for token in tokenizer.encode(word)]
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


@given(TEXT)
def test_splitting_loses_white_space_only(text: str) -> None:
    def visible(words: str) -> str:
        return "".join(letter for letter in words if not letter.isspace() or letter in "\x1c\x1d\x1e\x1f")

    assert visible("".join(WordTokenizer.split(text))) == visible(text)


def test_the_book_counts_the_same_words() -> None:
    path = Path(os.environ.get("HOMESPUN_DATA", "")) / "the-verdict" / "the-verdict.txt"
    if not path.is_file():
        pytest.skip("no the-verdict/the-verdict.txt in HOMESPUN_DATA")
    text = path.read_text("utf-8")
    tokenizer = WordTokenizer.from_text(text)
    assert len(tokenizer.encode(text)) == 4690 and len(tokenizer.vocabulary) == 1130


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world. It's--really?", ["Hello", ",", "world", ".", "It", "'", "s", "--", "really", "?"]),
        ("a well-known x -1 3.14 a_b", ["a", "well-known", "x", "-", "1", "3", ".", "14", "a", "_", "b"]),
        ("বাংলা ভাষায় ক্ষমতা।", ["বাংলা", "ভাষায়", "ক্ষমতা", "।"]),
        ("Привет, ёлка и\u0306! Кто-то", ["Привет", ",", "ёлка", "и\u0306", "!", "Кто-то"]),
        ("हिन्दी में می‌خواهم ภาษาไทย", ["हिन्दी", "में", "می‌خواهم", "ภาษาไทย"]),
        ("❤️!? \u0301", ["❤️", "!", "?", "\u0301"]),
        ("", []),
    ],
)  # fmt: skip
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    assert WordTokenizer.split(text) == words


@pytest.mark.parametrize(
    "text",
    [
        'He said, "It\'s the last (as you know) -" and left; 5% of $3 -- no: "none"!'.replace(" -- ", "--"),
        "«Да», — ответил он; (নাম) বাংলা ভাষায় কথা বলি। “Yes”, she's here… [1] don’t",
    ],
)
def test_sensible_spaces(text: str) -> None:
    tokenizer = WordTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_vocabulary_is_sorted_and_the_special_tokens_last() -> None:
    tokenizer = WordTokenizer.from_text("b a c a")
    assert tokenizer.vocabulary == ("a", "b", "c") and tokenizer.vocabulary_size == 5
    assert tokenizer.special_tokens == {"<|endoftext|>": 3, "<|unk|>": 4}
    assert tokenizer.encode("c d a") == [2, 4, 0] and tokenizer.decode([2, 4, 0]) == "c <|unk|> a"
    assert repr(tokenizer) == "WordTokenizer(vocabulary_size=5)"
    assert CharacterTokenizer.from_text("ba").encode("abc") == [0, 1, 3]


def test_rare_words_can_be_left_out() -> None:
    text = "c c c b b a a d"
    assert WordTokenizer.from_text(text, minimum_frequency=2).vocabulary == ("a", "b", "c")
    assert WordTokenizer.from_text(text, largest_vocabulary=4).vocabulary == ("a", "c")
    assert WordTokenizer.from_text(text, largest_vocabulary=2).vocabulary == ()
    for wrong in ({"minimum_frequency": 0}, {"largest_vocabulary": 1}, {"largest_vocabulary": True}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            WordTokenizer.from_text(text, **wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_special_names_are_text_unless_asked_for(kind: type[CharacterTokenizer | WordTokenizer]) -> None:
    text = "one<|endoftext|>two"
    tokenizer = kind.from_text(text)
    assert tokenizer.end_of_text not in tokenizer.encode(text)
    ids = tokenizer.encode(text, allowed_special=["<|endoftext|>"])
    assert ids.count(tokenizer.end_of_text) == 1 and tokenizer.unknown not in ids
    assert tokenizer.decode(ids).replace(" ", "") == text
    assert tokenizer.encode("", ("<|unk|>",)) == []
    with pytest.raises(UsageError, match="no special token is called '<x>'; there are"):
        tokenizer.encode("", ["<x>"])
    with pytest.raises(UsageError, match="allowed_special is one text"):
        tokenizer.encode("", "<|unk|>")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("token", [-1, 5, 10**30])
def test_ids_out_of_range(kind: type[SimpleTokenizer], token: int) -> None:
    with pytest.raises(HomespunError, match=rf"{token} is no token id of this tokenizer \(0 to 4\); use"):
        kind("abc").decode([0, token])


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_surrogate_pair_is_unknown(kind: type[CharacterTokenizer | WordTokenizer], tmp_path: Path) -> None:
    tokenizer = kind.from_text("a \ud800 b\udcff")
    assert tokenizer.decode(tokenizer.encode("a\ud800")).replace(" ", "") == "a<|unk|>"
    tokenizer.save(tmp_path / "simple.json")


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_must_be_one_thing(kind: type[SimpleTokenizer]) -> None:
    for entry in ("", "a b", "a,b", "\ud800"):
        with pytest.raises(HomespunError, match="cannot be an entry"):
            kind([entry])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_same_back(kind: type[CharacterTokenizer | WordTokenizer], tmp_path: Path) -> None:
    path = tmp_path / "simple.json"
    tokenizer = kind.from_text('বাংলা, Привет \u2028 \x00 \\ " well-known')
    tokenizer.save(path)
    again = kind.load(path)
    assert again.vocabulary == tokenizer.vocabulary and again.special_tokens == tokenizer.special_tokens
    assert [file.name for file in tmp_path.iterdir()] == ["simple.json"]
    other = KINDS[kind is CharacterTokenizer]
    with pytest.raises(DamagedFileError, match=f"a vocabulary of {kind.kind}, not of {other.kind}"):
        other.load(path)


def test_damaged_files_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "simple.json"
    tokenizer = WordTokenizer.from_text("some words, and more words")
    tokenizer.save(path)
    whole = path.read_bytes()
    lie = b'{"format": "homespun-simple-tokenizer", "version": 1, "sha256": NaN}'
    altered = [whole.replace(b"some", b"sone"), whole.replace(b'n": 1', b'n": 2')]
    for content in (whole[:-20], *altered, lie, b"\xff", b"[]", b"", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"simple\.json") as caught:
            WordTokenizer.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(HomespunError, match="no such file"):
        WordTokenizer.load(tmp_path / "absent.json")


@pytest.mark.parametrize("vocabulary", [None, "abc", [1], ["a", "a"], ["a b"], ["\ud800"], [""]])
def test_a_false_vocabulary_with_a_right_checksum(vocabulary: object, tmp_path: Path) -> None:
    from homespun.tokenizer.storage import digest

    value = {"format": "homespun-simple-tokenizer", "version": 1, "kind": "words", "vocabulary": vocabulary}
    path = tmp_path / "simple.json"
    path.write_text(json.dumps(value | {"sha256": digest(value)}))
    with pytest.raises(DamagedFileError, match="damaged"):
        WordTokenizer.load(path)
