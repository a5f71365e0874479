"""Every encoding comes back as the text that went in; binary is refused; blocks do not matter."""

import codecs
import contextlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.corpus.decode import (
    DAMAGED_UTF8,
    BinaryError,
    Decoded,
    UndecodableError,
    decode,
    decode_blocks,
    line_border,
    whole_lines,
)

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\nВсе счастливые семьи похожи друг на друга.\n" * 5
FRENCH = "L'été dernier, nous avons mangé des crêpes près de la forêt où naît le fleuve. Ça m'a plu, déjà à Noël.\n" * 5
GERMAN = "Als Gregor Samsa eines Morgens aus unruhigen Träumen erwachte, fühlte er sich übel: groß und häßlich.\n" * 5
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dnes je krásný den a já půjdu do města koupit chléb.\n" * 5
POLISH = "Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.\n" * 5
GREEK = "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί. Καλημέρα κόσμε, τι κάνετε σήμερα;\n" * 5
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗い所で泣いていた。\n" * 5
CHINESE = "道可道，非常道。名可名，非常名。无名天地之始，有名万物之母。今天天气很好，我们去公园散步吧。\n" * 5
KOREAN = "안녕하세요. 오늘은 날씨가 매우 좋습니다. 우리는 공원에 가서 산책을 했습니다.\n" * 5


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp1251"), (RUSSIAN, "koi8_r"), (RUSSIAN, "cp866"), (RUSSIAN, "iso8859_5"),
        (FRENCH, "cp1252"), (GERMAN, "cp1252"), (CZECH, "cp1250"), (CZECH, "iso8859_2"), (POLISH, "iso8859_2"),
        (GREEK, "cp1253"), (JAPANESE, "cp932"), (JAPANESE, "euc_jp"), (CHINESE, "gb18030"), (KOREAN, "cp949"),
    ],
)  # fmt: skip
def test_legacy_encodings_are_found(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == Decoded(text, encoding)


def test_the_only_accent_in_an_english_text() -> None:
    text = "A plain English sentence, written long ago. " * 50 + "\nHe sat in the café.\n"
    assert decode(text.encode("latin-1")).text == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("size", [3, 7, 1000])
def test_byte_order_marks(encoding: str, size: int) -> None:
    mark = {
        "utf-16-le": codecs.BOM_UTF16_LE,
        "utf-16-be": codecs.BOM_UTF16_BE,
        "utf-32-le": codecs.BOM_UTF32_LE,
        "utf-32-be": codecs.BOM_UTF32_BE,
    }[encoding]
    text = "Ein Text 😀 mit Zeichen ä\n" * 20
    raw = mark + text.encode(encoding)
    blocks = [raw[: size + 1], *(raw[i : i + size] for i in range(size + 1, len(raw), size))]
    assert "".join(part.text for part in decode_blocks(blocks)) == text


def test_utf8_byte_order_mark_is_removed() -> None:
    assert decode(codecs.BOM_UTF8 + "né\n".encode()) == Decoded("né\n", "utf-8 with byte order mark")


@settings(max_examples=200)
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0", min_codepoint=32), min_size=1)
    | st.text("a\né 😀ক\u0301"),
    st.integers(1, 9),
)
def test_utf8_in_blocks_of_any_size(text: str, size: int) -> None:
    raw = text.encode()
    blocks = [raw[i : i + size] for i in range(0, len(raw), size)]
    if not text.startswith("\ufeff"):
        parts = list(decode_blocks(blocks))
        assert "".join(part.text for part in parts) == text
        assert {part.encoding for part in parts} <= {"utf-8"}


@given(st.binary(), st.integers(1, 9))
def test_cutting_at_lines_loses_no_byte(raw: bytes, size: int) -> None:
    blocks = [raw[i : i + size] for i in range(0, len(raw), size)]
    assert b"".join(whole_lines(blocks)) == raw
    assert 0 <= line_border(raw) <= len(raw)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_refused_in_one_way(raw: bytes) -> None:
    with contextlib.suppress(UndecodableError):
        decode(raw).text.encode("utf-8")


def test_damaged_utf8_is_repaired_and_not_taken_for_another_encoding() -> None:
    raw = bytearray(RUSSIAN.encode())
    raw[101] = 0xFF
    decoded = decode(bytes(raw))
    assert decoded.encoding == DAMAGED_UTF8
    assert 0 < decoded.text.count("\ufffd") <= 2
    assert len(decoded.text) >= len(RUSSIAN) - 1


def test_a_later_block_in_another_encoding_is_decided_on_its_own() -> None:
    parts = list(decode_blocks([RUSSIAN.encode(), RUSSIAN.encode("koi8_r"), RUSSIAN.encode()]))
    assert [(part.text, part.encoding) for part in parts] == [
        (RUSSIAN, "utf-8"),
        (RUSSIAN, "koi8_r"),
        (RUSSIAN, "utf-8"),
    ]


@pytest.mark.parametrize(
    "raw",
    [b"\x7fELF\0\0\0", b"text\0more text" * 10, bytes(random.Random(1).choices(range(1, 256), k=5000))],
    ids=["zeros", "a zero in text", "noise without zeros"],
)
def test_binary_is_refused(raw: bytes) -> None:
    with pytest.raises(BinaryError):
        decode(raw)


@pytest.mark.parametrize(
    ("name", "expected", "words"),
    [
        ("books/sherlock_1661-8.latin1.txt.zst", "latin-1", ["Sherlock", "Holmes", "Irene"]),
        ("books/verwandlung_22367-8.latin1.txt.zst", "latin-1", ["Träumen", "fühlte", "Schwester"]),
    ],
)
def test_real_latin1_books(name: str, expected: str, words: list[str]) -> None:
    raw = real_file(name)
    decoded = decode(raw)
    assert decoded.encoding == "cp1252"
    assert decoded.text == raw.decode(expected)
    assert all(word in decoded.text for word in words)


@pytest.mark.parametrize("encoding", ["cp1251", "koi8_r", "cp866"])
def test_a_real_russian_novel(encoding: str) -> None:
    raw = real_file("russian/CrimeAndPunishment.txt.zst").decode("utf-8").encode(encoding, "replace")
    blocks = [raw[i : i + 100_000] for i in range(0, len(raw), 100_000)]
    assert "".join(part.text for part in decode_blocks(blocks)) == raw.decode(encoding)


def real_file(name: str) -> bytes:
    """The decompressed bytes of a file of HOMESPUN_DATA; skips where there is none."""
    if "HOMESPUN_DATA" not in os.environ:
        pytest.skip(f"HOMESPUN_DATA is not set: {name}")
    import pyarrow

    with pyarrow.CompressedInputStream(str(Path(os.environ["HOMESPUN_DATA"], name)), "zstd") as file:
        return bytes(file.read())
