"""The compiled split: for every pattern the pieces of the plain one, whatever the text, and no byte read behind it."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.tokenizer.compiled import workspace as field
from homespun.tokenizer.compiled.machine_code import load_kernel
from homespun.tokenizer.compiled.merge_tables import unicode_table
from homespun.tokenizer.patterns import PATTERNS
from homespun.tokenizer.split import Splitter, bytes_of_text, text_of_bytes
from homespun.tokenizer.unicode_classes import read_classes
from tests.tokenizer.conftest import (
    ALPHABETS,
    ASCII,
    MIXED_TEXT,
    SCRIPTS,
    WHITE,
    WORDS,
    examples,
    random_bytes,
    random_text,
    readable_until,
    real_file,
)

TABLE = unicode_table()
SplitPair = tuple[Callable[[bytes], list[bytes]], Callable[[bytes], list[bytes]]]


def split_at(pattern: str, address: int, raw: bytes) -> list[bytes]:
    """Run the kernel on the bytes at an address, which are ``raw``."""
    out = np.empty(len(raw) + 1, np.int32)
    work = np.zeros(field.FIELDS, np.int64)
    work[field.TEXT], work[field.SIZE] = address, len(raw)
    work[field.UNICODE], work[field.OUT] = TABLE.ctypes.data, out.ctypes.data
    assert load_kernel(f"split-{pattern}")(work.ctypes.data) == field.DONE
    ends = out[: work[field.OUT_COUNT]].tolist()
    return [raw[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.fixture(scope="module", params=PATTERNS)
def pair(request: pytest.FixtureRequest) -> SplitPair:
    """The compiled and the plain split of a pattern, both from bytes to pieces."""
    splitter = Splitter(request.param)

    def compiled(raw: bytes) -> list[bytes]:
        return split_at(request.param, np.frombuffer(raw, np.uint8).ctypes.data, raw)

    def plain(raw: bytes) -> list[bytes]:
        return list(map(bytes_of_text, splitter.split(text_of_bytes(raw))))

    return compiled, plain


def same(pair: SplitPair, text: str | bytes) -> None:
    compiled, plain = pair
    raw = text if isinstance(text, bytes) else bytes_of_text(text)
    assert compiled(raw) == plain(raw), raw


def test_random_texts(pair: SplitPair) -> None:
    random = Random(1)
    for _ in range(examples(1000)):
        same(pair, random_text(random))


def test_random_bytes(pair: SplitPair) -> None:
    random = Random(2)
    for _ in range(examples(500)):
        same(pair, random_bytes(random))


def test_any_text_and_any_bytes(pair: SplitPair) -> None:
    @given(st.text(max_size=80) | st.text(ASCII, max_size=200) | st.text(SCRIPTS + WHITE) | st.binary(max_size=80))
    def check(text: str | bytes) -> None:
        same(pair, text)

    @given(st.lists(st.sampled_from(WORDS) | st.characters(), max_size=40).map("".join))
    def check_words(text: str) -> None:
        same(pair, text)

    check()
    check_words()


def test_every_start_and_end_of_the_mixed_text(pair: SplitPair) -> None:
    for place in range(len(MIXED_TEXT)):
        same(pair, MIXED_TEXT[place:])
        same(pair, MIXED_TEXT[:place])


def test_every_border_of_a_class(pair: SplitPair) -> None:
    classes = read_classes()
    borders = [place for place in range(1, len(classes)) if classes[place] != classes[place - 1]]
    characters = [chr(code) for place in borders for code in (place - 1, place) if not 0xD800 <= code < 0xE000]
    same(pair, "".join(f"a{each}B{each}1{each} {each}'{each}\n" for each in characters))


@pytest.mark.parametrize("name", ["tinyshakespeare/input.txt", "wikitext2/valid.txt"])
def test_real_files(pair: SplitPair, name: str) -> None:
    same(pair, real_file(name).read_bytes()[:100_000])


def test_texts_of_every_length_about_the_sizes_of_vectors(pair: SplitPair) -> None:
    random = Random(3)
    for size in (*range(1, 36), *range(46, 52), *range(60, 70), *range(126, 132)):
        for unit in ("a", "A", "aB", " ", "\n", " \n", "1", "-", "'s", "a ", "_", "é", "字", "a-", "\u2019s", "1 "):
            same(pair, (unit * size).encode()[:size])
        for alphabet in ALPHABETS:
            same(pair, "".join(random.choices(alphabet, k=size)).encode()[:size])


def test_characters_beyond_ascii_at_every_place_of_a_window(pair: SplitPair) -> None:
    tails = [
        f"{white}{wide}{end}"
        for white in (" ", "  ", "\n", "\n ", "\r  ", " \n  ", "-\n ", "'", "a'", "1 ", "_", "/\n")
        for wide in "\u3000\u0661\u2019é\u017f\u0301€"
        for end in ("", "\n", " \r", "s", "  a")
    ]
    for tail in tails:
        for place in (0, 5, *range(54, 67)):
            same(pair, "a" * place + tail + "b" * 70)
            same(pair, "a" * place + tail)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_nothing_is_read_behind_the_text(pattern: str) -> None:
    random = Random(4)
    splitter = Splitter(pattern)
    units = ("a", "A", " ", "\n", "1", "-", "'", "\u2019", "\u017f", "字", "\u200d")
    texts = [(unit * size).encode()[-size:] for unit in units for size in (1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65)]
    texts += [random_bytes(random, 150) for _ in range(60)] + [MIXED_TEXT.encode()[:-cut] for cut in range(1, 40)]
    for raw in texts:
        with readable_until(raw) as address:
            pieces = split_at(pattern, address, raw)
        assert pieces == list(map(bytes_of_text, splitter.split(text_of_bytes(raw))))
