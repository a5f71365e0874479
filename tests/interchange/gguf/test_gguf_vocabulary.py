"""The tokenizer inside a file: tokens, merges, special tokens, split, chat template."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from homespun.interchange.gguf import read_gguf, write_gguf, write_modelfile
from homespun.interchange.gguf.splits import EQUAL, NEAREST, PATTERN_OF_NAME
from homespun.tokenizer.formats.printable import printable
from homespun.tokenizer.patterns import PATTERNS
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.vocabulary import Vocabulary
from tests.interchange.gguf.conftest import (
    WORDS,
    merges_of,
    random_weights,
    refuses,
    same_weights,
    small_config,
    small_tokenizer,
    small_weights,
)

TEXTS = ("the thing and don't   ক্ষমা мир 2024 == 😀", "", "\n\n\t<|endoftext|>", "\x00\x7f\u200d")


def write(tokenizer: Tokenizer, path: Path) -> Path:
    write_gguf(random_weights(small_config("qwen3", tokenizer), tokenizer), path)
    return path


def round_trip(tokenizer: Tokenizer, path: Path) -> Tokenizer:
    return read_gguf(write(tokenizer, path)).tokenizer


@pytest.mark.parametrize("pattern", list(EQUAL))
def test_tokens_come_back(pattern: str, tmp_path: Path) -> None:
    tokenizer = small_tokenizer(pattern)
    found = round_trip(tokenizer, tmp_path / "model.gguf")
    assert found.vocabulary == tokenizer.vocabulary
    for text in TEXTS:
        assert found.encode(text) == tokenizer.encode(text)


def numbered_otherwise(gaps: Sequence[int] = ()) -> Vocabulary:
    """Special tokens first, bytes backwards, then merges; ids in ``gaps`` are nobody's."""
    merges = merges_of(WORDS)
    special = {"<s>": 0, "</s>": 1, "<|user|>": 2}
    free = [token for token in range(3, 3 + 256 + len(merges) + len(gaps)) if token not in gaps]
    order = [*reversed(range(256)), *range(256, 256 + len(merges))]
    ids = [0] * len(order)
    for token, place in zip(free, order, strict=True):
        ids[place] = token
    return Vocabulary("gpt2", tuple(merges), special, tuple(ids), end_of_text="</s>")


@pytest.mark.parametrize("gaps", [(), (5, 100, 101)])
def test_ids_of_imported_vocabularies(gaps: Sequence[int], tmp_path: Path) -> None:
    tokenizer = Tokenizer.of(numbered_otherwise(gaps))
    assert round_trip(tokenizer, tmp_path / "model.gguf").vocabulary == tokenizer.vocabulary


def test_special_tokens_and_template(gguf: ModuleType, tmp_path: Path) -> None:
    names = ("<|pad|>", "<|doc|>", "<|endoftext|>", "<|im_end|>", "Ġспец")
    template = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}\n"
    merges = tuple(merges_of(WORDS))
    special = {name: 256 + len(merges) + place for place, name in enumerate(names)}
    vocabulary = Vocabulary("llama3", merges, special, end_of_text="<|doc|>", chat_template=template)
    assert round_trip(Tokenizer.of(vocabulary), tmp_path / "model.gguf").vocabulary == vocabulary
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "smaug-bpe"  # merging does not make " th": "th" comes first
    assert fields["tokenizer.ggml.tokens"] == [*map(printable, vocabulary.learned_bytes), *names]
    assert fields["tokenizer.ggml.token_type"] == [gguf.TokenType.NORMAL] * (256 + len(merges)) + [
        gguf.TokenType.CONTROL
    ] * len(names)
    assert fields["tokenizer.ggml.merges"][:2] == ["t h", "th e"]
    assert fields["tokenizer.ggml.bos_token_id"] == fields["tokenizer.ggml.eos_token_id"] == special["<|doc|>"]
    assert fields["tokenizer.ggml.padding_token_id"] == special["<|pad|>"]
    assert fields["tokenizer.ggml.eot_token_id"] == special["<|im_end|>"]
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.chat_template"] == template


@pytest.mark.parametrize(("pattern", "name"), list(NEAREST.items()))
def test_splits_that_llama_cpp_does_not_have(gguf: ModuleType, pattern: str, name: str, tmp_path: Path) -> None:
    tokenizer = small_tokenizer(pattern)
    path = tmp_path / "model.gguf"
    words = f"llama.cpp has no split equal to the tokenizer's pattern {pattern}"
    refuses(words, write, tokenizer, path)
    assert not list(tmp_path.iterdir())
    weights = random_weights(small_config("qwen3", tokenizer), tokenizer)
    write_gguf(weights, path, nearest_split=True)
    assert gguf.GGUFReader(path).fields["tokenizer.ggml.pre"].contents() == name
    same_weights(weights, read_gguf(path))


def test_white_space_at_the_end_as_cl100k_has_it(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    whole = Tokenizer("cl100k", merges_of(("the", " \n", "\n ")))
    refuses("llama.cpp has no split equal to the tokenizer's pattern cl100k", write, whole, path)
    ends_in_newline = Tokenizer("cl100k", merges_of(("the", " \n", "\n\n")))
    assert round_trip(ends_in_newline, path).vocabulary == ends_in_newline.vocabulary
    for text in (" \n", "the\n\n  ", "  "):
        llama3 = Tokenizer("llama3", ends_in_newline.merges)
        assert llama3.encode(text) == ends_in_newline.encode(text)


def test_a_pattern_that_does_not_fit_the_split_is_not_believed(tmp_path: Path) -> None:
    raw = write(small_tokenizer("qwen2"), tmp_path / "model.gguf").read_bytes()
    raw = raw.replace(b"homespun.sha256", b"homespun.sha-no")
    for stated in (b"gpt2\0", b"llama", b"\xd0\xb0\xd0\xb0."):
        place = raw.index(b"homespun.split_pattern") + len(b"homespun.split_pattern") + 12
        (tmp_path / "model.gguf").write_bytes(raw[:place] + stated + raw[place + 5 :])
        assert read_gguf(tmp_path / "model.gguf").tokenizer.pattern == "qwen2"


def test_every_split_that_is_written_is_read() -> None:
    for pattern in ("gpt2", "llama3", "qwen2"):
        assert PATTERN_OF_NAME[EQUAL[pattern]] == pattern
    assert set(EQUAL) | set(NEAREST) == set(PATTERNS)


def test_tokens_that_merging_makes_may_be_taken_whole(gguf: ModuleType, tmp_path: Path) -> None:
    path = write(Tokenizer("llama3", merges_of(("the", "and"))), tmp_path / "model.gguf")
    assert gguf.GGUFReader(path).fields["tokenizer.ggml.pre"].contents() == "llama-bpe"
    write(small_tokenizer("llama3"), path)
    raw = path.read_bytes().replace(b"homespun.sha256", b"homespun.sha-no")
    path.write_bytes(raw.replace(b"\x09\0\0\0\0\0\0\0smaug-bpe", b"\x09\0\0\0\0\0\0\0llama-bpe"))
    refuses("merging does not make the token b' th'", read_gguf, path)


def test_names_that_two_tokens_would_share(tmp_path: Path) -> None:
    tokenizer = Tokenizer("qwen2", merges_of(WORDS), ("<|endoftext|>", "the"))
    refuses("'the' is a special token and also a merge makes it", write, tokenizer, tmp_path / "model.gguf")


def test_merges_that_do_not_fit_the_tokens(unsealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    for old, new, words in (
        (b"t h", b"t\xc4\xa0"[:3], ""),
        (b"\x04\0\0\0\0\0\0\0th e", b"\x04\0\0\0\0\0\0\0the ", "the merge 'the ' is not two tokens"),
        (b"\x04\0\0\0\0\0\0\0th e", b"\x04\0\0\0\0\0\0\0th z", "the table of ids lacks the token 'thz'"),
        (b"\x04\0\0\0\0\0\0\0th e", b"\x04\0\0\0\0\0\0\0zq e", "uses 'zq', which no merge before it makes"),
    ):
        assert len(old) == len(new)
        path.write_bytes(unsealed.replace(old, new))
        refuses(words, read_gguf, path)


def lines_of(path: Path) -> str:
    return path.read_text("utf-8")


def test_a_recipe_for_texts_without_a_chat(tmp_path: Path) -> None:
    weights = small_weights()
    written = write_modelfile(tmp_path, weights, tmp_path / "model.gguf")
    assert written == tmp_path / "Modelfile"
    assert lines_of(written).splitlines() == [
        "# ollama create NAME -f Modelfile",
        "FROM ./model.gguf",
        'TEMPLATE """<|endoftext|>{{ .Prompt }}"""',
        "PARAMETER num_ctx 16",
        "PARAMETER stop <|endoftext|>",
    ]


def test_a_recipe_for_chats(tmp_path: Path) -> None:
    chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}"
    for chat, template in ((chatml, True), ("{{ messages[0].content }}", False)):
        tokenizer = small_tokenizer(chat_template=chat)
        weights = random_weights(small_config("qwen3", tokenizer), tokenizer)
        content = lines_of(write_modelfile(tmp_path / "recipe", weights, tmp_path / "folder" / "model.gguf"))
        assert "FROM ./folder/model.gguf\n" in content
        assert ("TEMPLATE" in content) == template
        assert "PARAMETER stop <|endoftext|>\n" in content
        if template:
            assert re.search(r'TEMPLATE """\{\{ range \.Messages \}\}<\|im_start\|>\{\{ \.Role \}\}\n', content)
            assert "PARAMETER stop <|im_end|>\n" in content


def test_a_recipe_says_what_ollama_does_otherwise(tmp_path: Path) -> None:
    for shape, pattern, warns in (("qwen3", "qwen2", False), ("qwen3", "gpt2", True), ("llama", "gpt2", False)):
        tokenizer = small_tokenizer(pattern)
        weights = random_weights(small_config(shape, tokenizer), tokenizer)
        content = lines_of(write_modelfile(tmp_path, weights, tmp_path / "model.gguf"))
        assert ("# ollama splits texts of this architecture as qwen2 does" in content) == warns
