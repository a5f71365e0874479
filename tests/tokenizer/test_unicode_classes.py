"""The pinned classes: exactly Unicode 16.0, whole tables, and a file that can be made again."""

import hashlib
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from homespun.common.errors import UsageError
from homespun.tokenizer import unicode_classes
from homespun.tokenizer.unicode_classes import (
    CODE_POINTS,
    DATA,
    JOINER,
    LETTER,
    LOWER,
    MARK,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    UPPER,
    class_of,
    class_tables,
    make,
    read_classes,
    written_runs,
)


def test_every_category_as_in_unicodedata2() -> None:
    unicodedata2 = pytest.importorskip("unicodedata2")
    if unicodedata2.unidata_version != "16.0.0":
        pytest.skip(f"unicodedata2 is {unicodedata2.unidata_version}, not 16.0.0")
    categories = {UPPER: "Lu Lt", LOWER: "Ll", LETTER: "Lm Lo", MARK: "Mn Mc Me", NUMBER: "Nd Nl No"}
    for code_point, found in enumerate(read_classes()):
        category = unicodedata2.category(chr(code_point))
        if found in categories:
            assert category in categories[found].split(), hex(code_point)
        else:
            assert category[0] not in "LMN", hex(code_point)
    assert make() == DATA.read_text("ascii")


def test_the_data_is_the_data() -> None:
    assert hashlib.sha256(DATA.read_bytes()).hexdigest()[:16] == "d2909632e07f072d"
    # The numbers of characters of each class as the Unicode Character Database 16.0.0 has them.
    assert Counter(read_classes()) == {
        OTHER: 968_645,
        UPPER: 1_858 + 31,
        LOWER: 2_258,
        LETTER: 404 + 136_477,
        MARK: 2_020 + 468 + 13,
        NUMBER: 760 + 236 + 915,
        SPACE: 23,
        NEWLINE: 2,
        JOINER: 2,
    }


@pytest.mark.parametrize(
    ("expected", "characters"),
    [
        (OTHER, "_'\u2019.\x00\x1c\x1f\x7f\u200b\u2060\ufeff\u180e€👩\ud800\udc80\udcff\udfff\ue000\U0010ffff"),
        (OTHER, "\u0378\u088f\u0cdc\U000323b0\U0003347f"),  # not assigned in 16.0; some of them are in 17.0
        (UPPER, "AZÉЯǅᾼ\u1c89\ua7cb\ua7da\ua7dc\U00010d50"),  # those behind ᾼ are new in 16.0
        (LOWER, "azßéя\u017f\u0295\u1c8a\ua7db\U00010d70"),
        (LETTER, "ªºʰא字かকก\uac00\ud7a3\U0001e5d0\U000323af"),
        (MARK, "\u0301\u09bf\u09cd\u0e34\u20dd\u0897\ufe0f\U000e01ef"),
        (NUMBER, "09१২½²Ⅷ〇\U0001ccf0"),
        (SPACE, " \t\x0b\x0c\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"),
        (NEWLINE, "\r\n"),
        (JOINER, "\u200c\u200d"),
    ],
)
def test_well_known_characters(expected: int, characters: str) -> None:
    assert {character: class_of(character) for character in characters} == dict.fromkeys(characters, expected)


def test_the_tables_hold_what_the_file_says() -> None:
    block_of, blocks = class_tables()
    assert len(block_of) == 0x110000 >> 7
    assert len(blocks) % 128 == 0
    assert max(block_of) < len(blocks) // 128 <= 256
    assert b"".join(blocks[block * 128 : block * 128 + 128] for block in block_of) == read_classes()
    assert len(read_classes()) == CODE_POINTS


def test_the_file_is_as_short_as_its_writer_makes_it() -> None:
    lines = [line for line in DATA.read_text("ascii").splitlines() if not line.startswith("#")]
    assert list(written_runs(list(read_classes()))) == lines


def test_another_version_makes_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicodedata2", SimpleNamespace(unidata_version="17.0.0"))
    with pytest.raises(UsageError, match=r"unicodedata2 is 17\.0\.0; install unicodedata2==16\.0\.0"):
        make()


def test_loading_takes_no_time() -> None:
    unicode_classes.class_tables.cache_clear()
    started = time.process_time()
    class_tables()
    assert time.process_time() - started < 0.1  # measured: 3 ms
