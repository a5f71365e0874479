"""The compiled encoder: the ids of the plain one for any text, vocabulary, table size and number of threads."""

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.tokenizer import engine as engine_module
from homespun.tokenizer import tokenizer as tokenizer_module
from homespun.tokenizer.compiled import encoder as encoder_module
from homespun.tokenizer.compiled import workspace as field
from homespun.tokenizer.compiled.documents import Batch, make_batch
from homespun.tokenizer.compiled.encoder import Encoder
from homespun.tokenizer.compiled.merge_tables import make_merge_tables
from homespun.tokenizer.naive import learn_merges_naively, merge
from homespun.tokenizer.plain_encoder import PlainEncoder
from homespun.tokenizer.split import bytes_of_text, text_of_bytes
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.vocabulary import Pair, Vocabulary, make_vocabulary
from tests.tokenizer.conftest import (
    MIXED_TEXT,
    SCRIPTS,
    WORDS,
    examples,
    random_bytes,
    random_text,
    readable_until,
    real_file,
)


class Both:
    """The compiled and the plain encoder of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.compiled = Encoder(vocabulary.pattern, make_merge_tables(vocabulary))
        self.plain = PlainEncoder(vocabulary)

    def compiled_ids(self, texts: Sequence[str | bytes]) -> list[list[int]]:
        ids, ends = self.compiled.encode(make_batch(texts))
        assert len(ids) == (ends[-1] if len(ends) else 0)
        return [ids[start:end].tolist() for start, end in pairwise([0, *ends.tolist()])]

    def check(self, texts: Sequence[str | bytes]) -> None:
        """Hold the encodings of a batch against those of the plain encoder, one by one."""
        for text, found in zip(texts, self.compiled_ids(texts), strict=True):
            assert found == self.plain.encode(text if isinstance(text, str) else text_of_bytes(text)), text


def vocabulary_of(pieces: Sequence[bytes], number: int, least: int = 1) -> Vocabulary:
    return make_vocabulary("homespun", learn_merges_naively(dict.fromkeys(pieces, 1), number, least))


@pytest.fixture(scope="module")
def both(tokenizer: Tokenizer) -> Both:
    return Both(tokenizer.vocabulary)


@pytest.fixture
def ready(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer of its own that uses the compiled encoder from the first text on."""
    ready = Tokenizer.of(tokenizer.vocabulary)
    assert ready.prepare()
    return ready


def test_random_texts_and_bytes(both: Both) -> None:
    random = Random(1)
    both.check([random_text(random) for _ in range(examples(1500))])
    both.check([random_bytes(random) for _ in range(examples(1000))])


def test_real_and_mixed_text(both: Both) -> None:
    both.check([MIXED_TEXT[start:] for start in range(len(MIXED_TEXT))])
    both.check([MIXED_TEXT * 50, real_file("tinyshakespeare/input.txt").read_bytes()])


def test_any_text_and_any_bytes_come_back(ready: Tokenizer, both: Both) -> None:
    @given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=30).map("".join) | st.binary(max_size=60))
    def check(text: str | bytes) -> None:
        both.check([text])
        raw = text if isinstance(text, bytes) else bytes_of_text(text)
        assert ready.decode_bytes(ready.encode_array(text)) == raw

    check()


@given(
    st.lists(st.text("abc", min_size=2, max_size=40).map(str.encode), min_size=1, max_size=4),
    st.integers(min_value=0, max_value=60),
    st.lists(st.text("abcd ", max_size=400), max_size=3),
)
def test_random_merges(learned_from: list[bytes], number: int, texts: list[str]) -> None:
    Both(vocabulary_of(learned_from, number)).check(texts)


def test_random_merges_and_long_pieces() -> None:
    random = Random(2)
    for letters in ("a", "ab", "abc", "abcdefgh"):
        pieces = ["".join(random.choices(letters, k=random.randint(2, 300))).encode() for _ in range(6)]
        both = Both(vocabulary_of(pieces, 120))
        sizes = [*range(60, 70), *range(120, 200, 3), *range(500, 530, 4), 1000, 3000]
        both.check(["".join(random.choices(letters, k=size)) for size in sizes])
        both.check([joined[:size] for size in sizes for joined in [b"".join(random.choices(pieces, k=50))]])


def test_long_pieces(both: Both) -> None:
    random = Random(3)
    sizes = [*range(1, 140), *(size + more for size in (192, 256, 512, 1024, 2048, 4096) for more in (-1, 0, 1)), 5000]
    for unit in ("a", "ab", "the", " ", "\n", "=", "1", "é", "字", "ক্ষ", "\u200d", "\udcff"):
        both.check([unit * size for size in sizes])
    both.check(["".join(random.choices("etaoinshr", k=10_000)), "".join(random.choices(SCRIPTS, k=10_000))])
    both.check(["👩\u200d🚀" * size for size in (1, 5, 10, 100, 1000)] + ["❤\ufe0f👍🏽" * 300, " " * 10_000 + "x"])
    both.check([random.randbytes(10_000).replace(b" ", b""), bytes(range(128, 256)) * 50])


def test_one_token_of_many_bytes() -> None:
    # Tokens of 2, 4 … 1024 bytes: longer than chunks, than what is remembered, and than what is repaired.
    merges = [(97, 97), *((255 + rank, 255 + rank) for rank in range(1, 10))]
    both = Both(make_vocabulary("homespun", merges))
    both.check(["a" * size for size in (1023, 1024, 1025, 2047, 2048, 5000, 9999)])
    both.check(["b" + "a" * size + "b" for size in (62, 63, 64, 1023, 1024, 4096)])


def falling_chain(number: int) -> tuple[list[Pair], list[str]]:
    """Merges by which the last of a chain of characters decides how all those before it are paired, and the chain."""
    characters = [chr(0x4E00 + place) for place in range(number)]
    merges: dict[Pair, int] = {}

    def token(left: int, right: int) -> int:
        return merges.setdefault((left, right), 256 + len(merges))

    tokens = [token(token(raw[0], raw[1]), raw[2]) for raw in map(str.encode, characters)]
    for place in reversed(range(number - 1)):
        token(tokens[place], tokens[place + 1])
    return list(merges), characters


def test_what_no_repair_mends_goes_to_the_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    merges, characters = falling_chain(420)
    both = Both(make_vocabulary("homespun", merges))
    asked = heaps_asked_for(both.compiled, monkeypatch)
    chain = "".join(characters)
    both.check([chain, chain[:-1], chain * 3, chain[1:] + chain, "a b " + chain + " c", "x", chain[:30]])
    assert len(asked) >= 2
    assert len(both.compiled.heap) == 0


def heaps_asked_for(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the sizes of the heaps that the kernel asks for."""
    asked: list[int] = []
    kernel = encoder.kernel

    def noting(address: int) -> int:
        status = kernel(address)
        if status == field.NEEDS_HEAP:
            asked.append(int(-encoder.work[field.HEAP_SIZE]))
        return status

    monkeypatch.setattr(encoder, "kernel", noting)
    return asked


def crowded_heap() -> tuple[list[Pair], str]:
    """Merges by which each token could merge with all that ever stand beside it, and a piece that needs the heap."""
    merges, characters = falling_chain(420)
    ids = {pair: 256 + rank for rank, pair in enumerate(merges)}
    unit = b"abcdefghijklmnop"
    level = list(unit)
    first = len(ids)
    while len(level) > 1:
        level = [ids.setdefault(pair, 256 + len(ids)) for pair in zip(level[::2], level[1::2], strict=True)]
    # What stands side by side while these are made: those that are merged last stay in the heap as long.
    state, beside = list(unit * 2), set(pairwise(unit * 2))
    for rank, pair in enumerate(list(ids)[first:], 256 + first):
        state = merge(state, pair, rank)
        beside |= set(pairwise(state))
    for pair in sorted(beside):
        ids.setdefault(pair, 256 + len(ids))
    return list(ids), "".join(characters) + unit.decode() * 2000


def test_the_heap_is_large_enough() -> None:
    merges, piece = crowded_heap()
    both = Both(make_vocabulary("homespun", merges))
    batch = make_batch([piece])
    out, borders = np.empty(len(batch.raw) + 8, np.uint32), np.empty(1, np.int64)
    work, kernel = both.compiled.work, both.compiled.kernel
    batch.hand_to(work)
    work[field.OUT], work[field.OUT_COUNT], work[field.BORDERS] = out.ctypes.data, 0, borders.ctypes.data
    while (status := kernel(work.ctypes.data)) == field.NEEDS_ROOM:
        both.compiled.make_room()
    assert status == field.NEEDS_HEAP
    size = int(-work[field.HEAP_SIZE])
    heap = np.full(size + 20 * len(batch.raw), 0xAB, np.uint8)
    work[field.HEAP], work[field.HEAP_SIZE] = heap.ctypes.data, size
    assert kernel(work.ctypes.data) == field.DONE
    assert out[: work[field.OUT_COUNT]].tolist() == both.plain.encode(piece)
    assert (heap[size:] == 0xAB).all(), f"{np.flatnonzero(heap[size:] != 0xAB).max() + 1} bytes written behind the heap"


@pytest.mark.parametrize("worth", [0, 12, 10**9])
def test_growing_and_emptying_tables_change_nothing(
    worth: int, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FIRST_BITS": 4, "LAST_BITS": 7, "FIRST_ARENA": 1024, "LAST_ARENA": 4096}.items():
        monkeypatch.setattr(encoder_module, name, value)
    monkeypatch.setattr(encoder_module, "WORTH_ENLARGING", worth)
    both = Both(tokenizer.vocabulary)
    random = Random(4)
    for _ in range(20):
        both.check([random_text(random, 2000) for _ in range(10)] + [MIXED_TEXT * 2, "\u200d" * 3000])
    bits, arena = both.compiled.bits, len(both.compiled.arena)
    assert (bits, arena) == (4, 1024) if worth > 12 else bits == 7 or arena == 4096


def test_the_table_remembers_across_batches(both: Both) -> None:
    texts = [MIXED_TEXT, "", MIXED_TEXT[::-1], "a" * 700]
    first = both.compiled_ids(texts)
    taken = both.compiled.work[field.TAKEN]
    assert both.compiled_ids(texts) == first
    assert both.compiled.work[field.TAKEN] == taken


@given(st.lists(st.sampled_from(["", "a", " the cat", MIXED_TEXT, "1234567", "12", "'s", "x" * 200]), max_size=12))
def test_rows_of_a_batch_are_the_encodings_of_its_documents(both: Both, texts: list[str]) -> None:
    if texts:
        both.check(texts)


@pytest.mark.parametrize("threads", [0, 1, 2, 4])
def test_batches_on_several_threads(threads: int, ready: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PER_THREAD", 500)
    random = Random(5)
    texts = ["", *(random_text(random) for _ in range(60)), "", MIXED_TEXT, b"\xff\xfe bytes", ""]
    plain = PlainEncoder(ready.vocabulary)
    expected = [plain.encode(text if isinstance(text, str) else text_of_bytes(text)) for text in texts]
    batch = ready.encode_batch(texts, threads)
    assert [batch[row].tolist() for row in range(len(batch))] == expected
    assert ready.encode_lists(texts, threads) == expected
    assert len(ready._engine._idle) >= 1


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_batches_of_nothing(texts: list[str], ready: Tokenizer) -> None:
    for threads in (1, 2):
        assert len(ready.encode_batch(texts, threads)) == len(texts)
        assert ready.encode_lists(texts, threads) == [[] for _ in texts]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_one_text_on_several_threads(threads: int, ready: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(6)
    texts = ["".join(random_text(random) for _ in range(40)), MIXED_TEXT * 20, "x" * 20_000, "don't  \n x" * 900]
    monkeypatch.setattr(tokenizer_module, "PART", 700)
    plain = PlainEncoder(ready.vocabulary)
    for text in texts:
        for form in (text, text.encode()):
            assert ready.encode_array(form, (), threads).tolist() == plain.encode(text)
    raw = b"".join(random_bytes(random) for _ in range(40))
    assert ready.encode_array(raw, (), threads).tolist() == plain.encode(text_of_bytes(raw))


@pytest.mark.parametrize("threads", [1, 2])
def test_special_tokens_in_arrays(threads: int, ready: Tokenizer) -> None:
    text = f"<|endoftext|>{MIXED_TEXT}<|im_start|><|endoftext|>x<|im_end|>"
    allowed = ("<|endoftext|>", "<|im_start|>")
    expected = Tokenizer.of(ready.vocabulary).encode(text, allowed)
    for form in (text, text.encode()):
        assert ready.encode_array(form, allowed, threads).tolist() == expected
    assert ready.encode(text, allowed) == expected
    assert ready.encode_array("", allowed).tolist() == []
    assert ready.encode_array(text).tolist() == PlainEncoder(ready.vocabulary).encode(text)


def test_any_numbering(tokenizer: Tokenizer) -> None:
    ids = list(range(5, 5 + len(tokenizer.vocabulary.learned_bytes)))
    Random(7).shuffle(ids)
    special = {"<|endoftext|>": 2, "<|pad|>": len(ids) + 900}
    both = Both(Vocabulary("homespun", tokenizer.merges, special, tuple(ids)))
    both.check([MIXED_TEXT, "x" * 1000, "the cat " * 9, "".join(map(chr, range(0x250))), "ab" * 999])


def test_two_threads_share_a_tokenizer(tokenizer: Tokenizer) -> None:
    random = Random(8)
    texts = ["".join(random_text(random) for _ in range(100)) for _ in range(24)]
    plain = PlainEncoder(tokenizer.vocabulary)
    expected = list(map(plain.encode, texts))
    shared = Tokenizer.of(tokenizer.vocabulary)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(shared.encode, texts)) == expected
            assert [ids.tolist() for ids in pool.map(shared.encode_array, texts)] == expected


def test_nothing_is_read_behind_the_text(both: Both) -> None:
    random = Random(9)
    texts = [
        (unit * size).encode()[-size:]
        for unit in ("a", " ", "1", "字")
        for size in (1, 8, 15, 16, 17, 33, 64, 129, 600)
    ]
    for raw in [*texts, *(random_bytes(random, 200) for _ in range(100))]:
        with readable_until(raw) as address:
            memory = np.frombuffer((ctypes.c_uint8 * len(raw)).from_address(address), np.uint8)
            ids, _ = both.compiled.encode(Batch(memory, np.array([len(raw)])))
        assert ids.tolist() == both.plain.encode(text_of_bytes(raw))
