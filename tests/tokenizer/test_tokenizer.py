"""Encoding and decoding: exact round trips, the oracle, tiktoken, special tokens, hostile text, streaming."""

import time

import pytest
import tiktoken
import tiktoken_ext.openai_public as openai_public
from hypothesis import given
from hypothesis import strategies as st

from homespun.common.errors import HomespunError, UsageError
from homespun.tokenizer import plain_encoder
from homespun.tokenizer.encoding import encode_long, encode_piece, encode_short, token_of_pairs
from homespun.tokenizer.naive import encode_naively, learn_merges_naively
from homespun.tokenizer.plain_training import learn_merges
from homespun.tokenizer.split import Splitter
from homespun.tokenizer.streaming import StreamDecoder
from homespun.tokenizer.tokenizer import Tokenizer

# The characters that can go wrong, assigned in every version of Unicode that these libraries know.
COMMON_TEXT = st.text(
    st.one_of(
        st.sampled_from(" \t\n\r'sStTrReEvVmMlLdD._/-(1٣½éßÄ字かক্িא́\u200d\u00a0\u2028👩"),
        st.characters(max_codepoint=0x24F, exclude_categories=["Cs", "Cn"]),
    ),
    max_size=60,
)


def same_as_tiktoken(ours: Tokenizer, theirs: tiktoken.Encoding, text: str) -> None:
    assert ours.encode(text) == theirs.encode_ordinary(text)


@given(st.binary(max_size=200))
def test_every_byte_string_comes_back(tokenizer: Tokenizer, raw: bytes) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(raw)) == raw


@given(st.text(max_size=100))
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(0 <= token < tokenizer.vocabulary_size for token in ids)


def test_lone_surrogates(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode("\udcff\udc80x")) == b"\xff\x80x"
    assert tokenizer.decode(tokenizer.encode("a\ud83dz")) == "a\ufffdz"


@given(st.text("abc", max_size=60).map(str.encode), st.lists(st.text("abc", max_size=30).map(str.encode), max_size=4))
def test_both_encoders_give_what_the_naive_one_gives(piece: bytes, texts: list[bytes]) -> None:
    merges = learn_merges_naively(dict.fromkeys(texts, 2), 40)
    tokens = token_of_pairs(merges)
    expected = encode_naively(piece, merges)
    assert encode_short(piece, tokens) == expected
    assert encode_long(piece, tokens) == expected


def test_both_encoders_on_gpt2(gpt2_merges: list[tuple[int, int]], shakespeare: str) -> None:
    tokens = token_of_pairs(gpt2_merges)
    for start in range(0, 20_000, 500):
        piece = shakespeare[start : start + 300].encode()
        assert encode_short(piece, tokens) == encode_long(piece, tokens)


def test_gpt2_is_tiktokens_gpt2(gpt2_merges: list[tuple[int, int]], shakespeare: str, mixed_text: str) -> None:
    ours = Tokenizer("gpt2", gpt2_merges, ["<|endoftext|>"])
    assert ours.vocabulary_size == 50257
    assert ours.end_of_text == 50256
    ranks = {ours.token_bytes(token): token for token in range(50256)}
    theirs = tiktoken.Encoding(
        "gpt2", pat_str=openai_public.r50k_pat_str, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256}
    )
    same_as_tiktoken(ours, theirs, shakespeare)
    same_as_tiktoken(ours, theirs, mixed_text)
    given(COMMON_TEXT)(lambda text: same_as_tiktoken(ours, theirs, text))()


@pytest.mark.parametrize("name", ["cl100k", "o200k"])
def test_published_patterns_split_as_tiktoken(
    name: str,
    published_ranks: dict[str, dict[bytes, int]],
    mixed_text: str,
    shakespeare: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # tiktoken's own definition of the encoding, with the vocabulary from our folder instead of from the network.
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: published_ranks[name])
    theirs = tiktoken.Encoding(**getattr(openai_public, f"{name}_base")())
    splitter = Splitter(name)

    def check(text: str) -> None:
        by_piece = [token for piece in splitter.split(text) for token in theirs._encode_single_piece(piece.encode())]
        assert by_piece == theirs.encode_ordinary(text)

    check(mixed_text)
    check(shakespeare[:100_000])
    given(COMMON_TEXT)(check)()


def test_special_tokens_are_text_unless_asked_for(tokenizer: Tokenizer) -> None:
    text = "one<|endoftext|>two<|im_end|>"
    plain = tokenizer.encode(text)
    assert max(plain) < min(tokenizer.special_tokens.values())
    ids = tokenizer.encode(text, allowed_special=("<|endoftext|>",))
    assert ids == [*tokenizer.encode("one"), tokenizer.end_of_text, *tokenizer.encode("two<|im_end|>")]
    assert tokenizer.decode(plain) == tokenizer.decode(ids) == text
    assert tokenizer.encode("<|im_start|><|im_end|>", ("<|im_end|>", "<|im_start|>")) == [
        tokenizer.special_id("<|im_start|>"),
        tokenizer.special_id("<|im_end|>"),
    ]


def test_special_tokens_have_the_last_ids(tokenizer: Tokenizer) -> None:
    first = 256 + len(tokenizer.merges)
    assert tokenizer.special_tokens == {
        "<|endoftext|>": first,
        "<|im_start|>": first + 1,
        "<|im_end|>": first + 2,
        "<|pad|>": first + 3,
    }
    assert tokenizer.vocabulary_size == first + 4 == 1200


def test_of_special_tokens_that_begin_alike_the_longer_one_wins() -> None:
    tokenizer = Tokenizer("homespun", [], ["<|endoftext|>", "<|a|>", "<|a|>b"])
    assert tokenizer.encode("<|a|>b<|a|>c", ("<|a|>", "<|a|>b")) == [258, 257, ord("c")]


def test_wrong_names_and_ids_are_one_clear_line(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match=r"no special token is called '<\|eot\|>'; there are <\|endoftext\|>"):
        tokenizer.encode("x", ("<|eot|>",))
    with pytest.raises(UsageError, match="give the names in a tuple"):
        tokenizer.encode("x", "<|endoftext|>")
    for token in (-1, 1200, 10**9):
        with pytest.raises(HomespunError, match=rf"{token} is no token id of this tokenizer \(0 to 1199\)"):
            tokenizer.decode([0, token])
        with pytest.raises(HomespunError, match="is no token id"):
            tokenizer.token_bytes(token)
        with pytest.raises(HomespunError, match="is no token id"):
            StreamDecoder(tokenizer).push(token)


@pytest.mark.parametrize(
    ("merges", "names", "message"),
    [
        ([(97, 256)], ["<|endoftext|>"], "merge number 0 joins 97 and 256"),
        ([(97, -1)], ["<|endoftext|>"], "merge number 0 joins 97 and -1"),
        ([(97, 98), (97, 98)], ["<|endoftext|>"], "which an earlier merge does already"),
        ([], ["<|pad|>"], r"lack <\|endoftext\|>"),
        ([], ["<|endoftext|>", "<|endoftext|>"], "there twice"),
        ([], ["<|endoftext|>", ""], "empty"),
    ],
)
def test_contradictions_are_refused(merges: list[tuple[int, int]], names: list[str], message: str) -> None:
    with pytest.raises(HomespunError, match=message):
        Tokenizer("homespun", merges, names)


@pytest.mark.parametrize("unit", ["a", "ab", " ", "\n", "1", "=", "字", "é", "\u200d", "'s", "<|endoftext|>", "\udcff"])
def test_hostile_text_encodes_in_seconds(tokenizer: Tokenizer, unit: str) -> None:
    text = unit * (300_000 // len(unit))
    started = time.process_time()
    ids = tokenizer.encode(text)
    assert time.process_time() - started < 4  # measured: 0.4 s at most; quadratic would be hours
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8", "surrogateescape")


def test_a_megabyte_of_one_letter() -> None:
    merges = learn_merges({b"a" * 4096: 1}, 12, 1)
    assert len(merges) == 12
    started = time.process_time()
    ids = encode_piece(b"a" * 1_000_000, token_of_pairs(merges))
    assert time.process_time() - started < 15  # measured: 1 s
    assert ids[:244] == [267] * 244
    assert len(ids) < 260


def test_the_cache_is_bounded_and_changes_nothing(
    tokenizer: Tokenizer, mixed_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tokenizer.encode(mixed_text)
    fresh = Tokenizer(tokenizer.pattern, tokenizer.merges)
    monkeypatch.setattr(plain_encoder, "LARGEST_CACHE", 3)
    for _ in range(3):
        assert fresh.encode(mixed_text) == expected
        assert 0 < len(fresh._engine.plain.cache) <= 3


@given(st.lists(st.integers(min_value=0, max_value=1199), max_size=60))
def test_stream_of_any_ids_is_the_decoded_text(tokenizer: Tokenizer, ids: list[int]) -> None:
    decoder = StreamDecoder(tokenizer)
    assert "".join(map(decoder.push, ids)) + decoder.finish() == tokenizer.decode(ids)


@given(st.binary(max_size=40))
def test_stream_of_any_bytes_is_the_decoded_text(tokenizer: Tokenizer, raw: bytes) -> None:
    decoder = StreamDecoder(tokenizer)
    assert "".join(map(decoder.push, raw)) + decoder.finish() == raw.decode("utf-8", "replace")


@given(st.text(max_size=40))
def test_stream_of_text_never_prints_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    decoder = StreamDecoder(tokenizer)
    printed = ""
    for byte in text.encode():
        printed += decoder.push(byte)
        assert text.startswith(printed)
    assert printed == text
    assert decoder.finish() == ""


def test_identity_is_about_ids_only(tokenizer: Tokenizer) -> None:
    same = Tokenizer(tokenizer.pattern, tokenizer.merges)
    assert same.identity() == tokenizer.identity() == tokenizer.with_chat_template("{{ messages }}").identity()
    assert len(tokenizer.identity()) == 12
    others = [
        Tokenizer("gpt2", tokenizer.merges),
        Tokenizer(tokenizer.pattern, tokenizer.merges[:-1]),
        Tokenizer(tokenizer.pattern, tokenizer.merges, ["<|endoftext|>"]),
    ]
    assert len({other.identity() for other in [tokenizer, *others]}) == 4
    assert tokenizer.identity() in repr(tokenizer)


def test_importing_the_settings_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, homespun.tokenizer.settings; print({'regex', 'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
