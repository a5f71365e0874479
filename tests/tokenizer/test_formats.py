"""Files of other programs: the same ids as those programs, there and back unchanged, one line for every bad file."""

import base64
import gzip
import json
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tiktoken_ext.openai_public as openai_public
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from homespun.tokenizer.formats import left_out, read_vocabulary, write_vocabulary
from homespun.tokenizer.formats.huggingface import spellings_of
from homespun.tokenizer.formats.printable import BYTE_OF, BYTES_IN_ORDER, CHARACTERS, printable
from homespun.tokenizer.patterns import PATTERNS
from homespun.tokenizer.split import Splitter
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.vocabulary import Vocabulary, make_vocabulary
from tests.tokenizer.conftest import real_file, refuses

FILES = {"gpt2": "vocab.bpe", "cl100k": "cl100k_base.tiktoken.gz", "o200k": "o200k_base.tiktoken.gz"}
TEXTS = (
    "tinyshakespeare/input.txt",
    "wikitext2/valid.txt",
    "russian/ru_alpaca_seed_tasks.jsonl",
    "the-verdict/the-verdict.txt",
)
LONGEST_TEXT = 300_000

# Everything that a rule of a pattern looks at, and characters that fold to ASCII letters.
HOSTILE = [
    *"abzSAZ  _'\u2019sStTlLvVeErRdDmM0123456789\n\r\t\x0b\x0c\x1c\x85\u00a0\u2028\u200c\u200d.!?-/#ſKßﬆİıé\u0301"
]
HOSTILE += [*"ক\u09beম٣৪½²Ⅷ中👩❤\ufe0f\u3000\ufeff𝟘", "'ll", "'Re", "\u2019ve", "123", "4567", "\n\n", "  ", "'ſ"]


def is_assigned(character: str) -> bool:
    """Oniguruma's tables are older than ours: what neither Python knows is left out."""
    return unicodedata.category(character) not in ("Cn", "Cs")


any_text = st.lists(st.sampled_from(HOSTILE) | st.characters().filter(is_assigned), max_size=25).map("".join)


@pytest.fixture(scope="session", params=FILES)
def published(request: pytest.FixtureRequest) -> tuple[str, Vocabulary]:
    return request.param, read_vocabulary(real_file(f"vocabularies/{FILES[request.param]}"), request.param)


@pytest.fixture(scope="session")
def texts(mixed_text: str) -> list[str]:
    return [mixed_text, "", *(real_file(name).read_text("utf-8")[:LONGEST_TEXT] for name in TEXTS)]


def oracle(name: str, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> tiktoken.Encoding:
    """tiktoken's own definition, over the ranks in our files; without the network."""
    if name == "gpt2":
        folder = real_file("vocabularies/vocab.bpe").parent
        arguments = {"vocab_bpe_file": str(folder / "vocab.bpe"), "encoder_json_file": str(folder / "encoder.json")}
        ranks = tiktoken.load.data_gym_to_mergeable_bpe_ranks(**arguments)
        pattern, special = openai_public.r50k_pat_str, {"<|endoftext|>": 50256}
    else:
        packed = gzip.decompress(real_file(f"vocabularies/{FILES[name]}").read_bytes()).splitlines()
        ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in packed}
        monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
        definition = getattr(openai_public, f"{name}_base")()
        pattern, special = definition["pat_str"], definition["special_tokens"]
    assert dict(vocabulary.special_tokens) == special
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)


def test_the_published_vocabularies_give_the_ids_of_tiktoken(
    published: tuple[str, Vocabulary], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, vocabulary = published
    ours, theirs = Tokenizer.of(vocabulary), oracle(name, vocabulary, monkeypatch)
    assert ours.vocabulary_size == theirs.n_vocab
    for text in texts:
        assert ours.encode(text) == theirs.encode_ordinary(text)
        assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize("name", FILES)
def test_imports_take_seconds(name: str) -> None:
    path = real_file(f"vocabularies/{FILES[name]}")
    before = time.process_time()
    read_vocabulary(path, name)
    assert time.process_time() - before < 12  # o200k takes 2 on an idle machine


def test_the_table_beside_the_merges_says_what_holds_without_it(tmp_path: Path) -> None:
    merges, table = real_file("vocabularies/vocab.bpe"), real_file("vocabularies/encoder.json")
    (tmp_path / "vocab.bpe").write_bytes(merges.read_bytes())
    assert read_vocabulary(tmp_path) == read_vocabulary(merges) == read_vocabulary(table)


@pytest.mark.parametrize("format_name", ["tiktoken", "gpt2", "huggingface"])
def test_what_was_imported_is_exported_and_imported_again(
    published: tuple[str, Vocabulary], format_name: str, tmp_path: Path
) -> None:
    name, vocabulary = published
    write_vocabulary(vocabulary, tmp_path / "out", format_name)
    again = read_vocabulary(tmp_path / "out", name)
    assert again == vocabulary
    assert Tokenizer.of(again).identity() == Tokenizer.of(vocabulary).identity()
    if format_name == "tiktoken":
        packed = real_file(f"vocabularies/{FILES[name]}") if name != "gpt2" else None
        assert packed is None or (tmp_path / "out").read_bytes() == gzip.decompress(packed.read_bytes())
    if format_name == "gpt2" and name == "gpt2":
        for file in ("vocab.bpe", "encoder.json"):
            written, original = (tmp_path / "out" / file).read_text(), real_file(f"vocabularies/{file}").read_text()
            assert written == original or json.loads(written) == json.loads(original)


def test_tokenizers_reads_the_published_vocabularies_from_us(
    published: tuple[str, Vocabulary], texts: list[str], tmp_path: Path
) -> None:
    _, vocabulary = published
    write_vocabulary(vocabulary, tmp_path / "tokenizer.json", "huggingface")
    theirs, ours = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")), Tokenizer.of(vocabulary)
    for text in texts:
        assert theirs.encode(text).ids == ours.encode(text)
        assert theirs.decode(theirs.encode(text).ids) == text
    assert {name: theirs.token_to_id(name) for name in vocabulary.special_tokens} == dict(vocabulary.special_tokens)


# Our own tokenizers, and each pattern.


def with_pattern(tokenizer: Tokenizer, pattern: str) -> Tokenizer:
    """The same merges under another split: which merges there are does not matter here."""
    return Tokenizer(pattern, tokenizer.merges, ("<|endoftext|>", "<|im_start|>", "USER:"))


@pytest.fixture(scope="session", params=sorted(PATTERNS))
def pair(
    request: pytest.FixtureRequest, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    ours = with_pattern(tokenizer, request.param)
    path = tmp_path_factory.mktemp("huggingface") / "tokenizer.json"
    write_vocabulary(ours.vocabulary, path, "huggingface")
    assert read_vocabulary(path) == ours.vocabulary
    return ours, tokenizers.Tokenizer.from_file(str(path))


@given(text=any_text)
def test_tokenizers_gives_our_ids_for_any_text(pair: tuple[Tokenizer, tokenizers.Tokenizer], text: str) -> None:
    ours, theirs = pair
    allowed = tuple(ours.special_tokens)
    for whole in (text, text + "<|endoftext|>" + text + "USER:"):
        assert theirs.encode(whole).ids == ours.encode(whole, allowed)


def test_tokenizers_gives_our_ids_for_files(pair: tuple[Tokenizer, tokenizers.Tokenizer], texts: list[str]) -> None:
    ours, theirs = pair
    for text in texts:
        assert theirs.encode(text).ids == ours.encode(text)


@given(text=st.text(alphabet="0123456789½৪ a\u2019s", max_size=40))
def test_the_expression_for_tokenizers_groups_digits_from_the_right(text: str) -> None:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(spellings_of("homespun")[0]), "isolated")
    assert [piece for piece, _ in split.pre_tokenize_str(text)] == list(Splitter("homespun").split(text))


def test_grouping_digits_takes_linear_time() -> None:
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(spellings_of("homespun")[0]), "isolated")
    for prefix in ("7" * 300_000, "7" * 299_999, "7" * 299_998):
        before = time.process_time()
        assert [piece for piece, _ in split.pre_tokenize_str(prefix)] == list(Splitter("homespun").split(prefix))
        assert time.process_time() - before < 10  # 0.3 s; a look-ahead per group takes a minute


@pytest.mark.parametrize("format_name", ["tiktoken", "gpt2", "huggingface", "homespun"])
def test_our_own_tokenizer_comes_back(tokenizer: Tokenizer, format_name: str, tmp_path: Path) -> None:
    write_vocabulary(tokenizer.vocabulary, tmp_path / "out", format_name)
    again = read_vocabulary(tmp_path / "out", None if format_name == "homespun" else "homespun")
    if format_name == "tiktoken":  # it has no special tokens
        expected = make_vocabulary("homespun", tokenizer.merges, ["<|endoftext|>"])
        assert again == expected
    else:
        assert again == tokenizer.vocabulary
    lost = {"tiktoken": 2, "gpt2": 1}.get(format_name, 0)
    assert len(left_out(tokenizer.vocabulary, format_name)) == lost


def test_any_numbering_comes_back(tokenizer: Tokenizer, tmp_path: Path, mixed_text: str) -> None:
    names = ("</s>", "<pad>")
    ids = tuple(range(3000, 3000 - len(tokenizer.vocabulary.learned_bytes), -1))
    vocabulary = Vocabulary("o200k", tokenizer.merges, {"</s>": 7, "<pad>": 3001}, ids, end_of_text="</s>")
    for format_name in ("gpt2", "huggingface"):
        write_vocabulary(vocabulary, tmp_path / format_name, format_name)
        again = read_vocabulary(tmp_path / format_name, "o200k")
        assert again == vocabulary
        assert read_vocabulary(tmp_path / format_name, "o200k", names[1]).end_of_text == names[1]
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "huggingface"))
    assert theirs.encode(mixed_text).ids == Tokenizer.of(vocabulary).encode(mixed_text)
    refuses(
        r"not in the order of the merges.*use the format huggingface",
        write_vocabulary,
        vocabulary,
        tmp_path / "x",
        "tiktoken",
    )


def test_names_of_bytes() -> None:
    theirs = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    assert set(theirs) == set(BYTE_OF)
    assert printable(b" the\n") == "ĠtheĊ"
    assert [CHARACTERS[byte] for byte in BYTES_IN_ORDER] == sorted(CHARACTERS.values())
    assert sorted(BYTES_IN_ORDER) == list(range(256))


# Files of Hugging Face that others made.


@pytest.fixture
def huggingface_file(tokenizer: Tokenizer, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a good file after ``change`` had its way with it."""
    path = tmp_path / "tokenizer.json"
    write_vocabulary(with_pattern(tokenizer, "llama3").vocabulary, path, "huggingface")
    good = path.read_text("utf-8")

    def write(change: Callable[[dict[str, Any]], Any] = lambda value: None) -> Path:
        value = json.loads(good)
        change(value)
        path.write_text(json.dumps(value), "utf-8")
        return path

    return write


def test_a_tokenizer_that_tokenizers_trained(tmp_path: Path, texts: list[str]) -> None:
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=["<|eos|>", "<|pad|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(texts, trainer)
    theirs.save(str(tmp_path / "tokenizer.json"))
    vocabulary = read_vocabulary(tmp_path / "tokenizer.json")
    ours = Tokenizer.of(vocabulary)
    assert (vocabulary.pattern, vocabulary.end_of_text, ours.end_of_text) == ("gpt2", "<|eos|>", 0)
    for text in texts:
        assert ours.encode(text) == theirs.encode(text).ids


def test_a_file_with_every_pair_that_joins_to_a_token(huggingface_file: Callable[..., Path], texts: list[str]) -> None:
    """Llama 3's file is like that: converted from tiktoken, 2.2 merges per token, of which one counts."""

    def list_all_pairs(value: dict[str, Any]) -> None:
        table = value["model"]["vocab"]
        merges = []
        for name in sorted(table.keys() - {"<|endoftext|>", "<|im_start|>", "USER:"}, key=table.__getitem__):
            splits = [(name[:place], name[place:]) for place in range(1, len(name))]
            known = [pair for pair in splits if pair[0] in table and pair[1] in table]
            merges += sorted(known, key=lambda pair: (table[pair[0]], table[pair[1]]))
        assert len(merges) > 1.2 * (len(table) - 256)
        value["model"] |= {"merges": [list(pair) for pair in merges], "ignore_merges": True}

    plain = read_vocabulary(huggingface_file())
    path = huggingface_file(list_all_pairs)
    vocabulary = read_vocabulary(path)
    assert vocabulary == plain
    theirs = tokenizers.Tokenizer.from_file(str(path))
    for text in texts:
        assert Tokenizer.of(vocabulary).encode(text) == theirs.encode(text).ids


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [],
    "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
}
TIKTOKEN_CL100K = (
    openai_public.__loader__.get_source("tiktoken_ext.openai_public").split('"pat_str": r"""')[1].split('"""')[0]
)


def test_what_does_not_change_ids_is_accepted(huggingface_file: Callable[..., Path]) -> None:
    plain = read_vocabulary(huggingface_file())
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}

    def change(value: dict[str, Any]) -> None:
        value["post_processor"] = {"type": "Sequence", "processors": [byte_level, TEMPLATE]}
        value["normalizer"] = {"type": "Sequence", "normalizers": []}
        value["pre_tokenizer"]["pretokenizers"][0] |= {"behavior": "Removed", "invert": True}
        value["added_tokens"][0] |= {"normalized": True, "special": False}
        value["model"] |= {"unk_token": "<|endoftext|>", "end_of_word_suffix": "", "dropout": 0.0}
        value["model"]["merges"] = [merge.split(" ") for merge in value["model"]["merges"]]
        del value["model"]["type"], value["model"]["ignore_merges"]

    assert read_vocabulary(huggingface_file(change)) == plain
    assert read_vocabulary(huggingface_file(change), "llama3") == plain


def set_model(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["model"].update(values)


def set_split(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["pre_tokenizer"]["pretokenizers"][0].update(values)


def set_byte_level(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["pre_tokenizer"]["pretokenizers"][1].update(values)


def set_added(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["added_tokens"][1].update(values)


def rename_added(name: str) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        table, added = value["model"]["vocab"], value["added_tokens"][1]
        table[name] = table.pop(added["content"])
        added["content"] = name

    return change


def set_id(name: str, token: int | None) -> Callable[[dict[str, Any]], Any]:
    def change(value: dict[str, Any]) -> None:
        value["model"]["vocab"][name] = token
        if token is None:
            del value["model"]["vocab"][name]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.update(normalizer={"type": "NFC"}), "the normalizer NFC changes texts"),
        (lambda value: value.update(normalizer="NFC"), "the normalizer 'NFC' changes texts"),
        (lambda value: value.update(truncation={"max_length": 5}), "truncation is set"),
        (lambda value: value.update(decoder={"type": "Metaspace"}), "the decoder is Metaspace"),
        (lambda value: value.update(pre_tokenizer=None), "the pre_tokenizer is None, not ByteLevel"),
        (lambda value: value.update(pre_tokenizer={"type": "Whitespace"}), "the pre_tokenizer is Whitespace"),
        (lambda value: value["pre_tokenizer"].update(pretokenizers=[]), "the pre_tokenizer is empty"),
        (lambda value: value["pre_tokenizer"].update(pretokenizers=3), "a Sequence lacks its pretokenizers"),
        (lambda value: value["pre_tokenizer"]["pretokenizers"].pop(0), "does not split texts at all"),
        (lambda value: value["pre_tokenizer"]["pretokenizers"].pop(1), "the pre_tokenizer is Split, not"),
        (set_byte_level(add_prefix_space=True), "add_prefix_space"),
        (set_byte_level(use_regex=True), "splits twice"),
        (set_split(behavior="MergedWithNext"), "behavior 'MergedWithNext'"),
        (set_split(behavior=["x"]), "behavior"),
        (set_split(pattern={"Regex": r"\w+"}), "which is none of homespun, gpt2"),
        (set_split(pattern={"Regex": TIKTOKEN_CL100K}), "which is none of homespun, gpt2"),
        (set_split(pattern={"String": " "}), "splits by None"),
        (lambda value: value.update(post_processor={"type": "Suffix"}), "the post_processor is Suffix"),
        (
            lambda value: value.update(post_processor=TEMPLATE | {"special_tokens": {"a": {"tokens": ["a"]}}}),
            "the post_processor adds 'a', which is no special token",
        ),
        (set_model(type="Unigram"), "model.type is 'Unigram', not BPE"),
        (set_model(byte_fallback=True), "model.byte_fallback is True"),
        (set_model(dropout=0.1), "model.dropout is 0.1"),
        (set_model(continuing_subword_prefix="##"), "continuing_subword_prefix is '##'"),
        (set_model(end_of_word_suffix="</w>"), "end_of_word_suffix is '</w>'"),
        (set_model(merges="a b"), "model.merges is not a list"),
        (set_model(merges=["a b c"]), "merge 1, 'a b c', is not two tokens"),
        (set_model(merges=[["a", 1]]), r"merge 1, \['a', 1\], is not two tokens"),
        (set_model(merges=["ab c", "a b"]), "merge 1 uses 'ab', which no merge before it makes"),
        (set_model(merges=["a b", "a b"]), "the merge of 'a' and 'b' stands there twice"),
        (set_model(merges=[]), "the table of ids has .*, which no merge makes and which is not special"),
        (set_model(vocab=[]), "model.vocab is not an object"),
        (set_model(vocab={"a": "b"}), "model.vocab is not an object"),
        (set_model(vocab={"a": True}), "model.vocab is not an object"),
        (set_id("Ċ", None), "the table of ids lacks the byte 0x0A, written 'Ċ'"),
        (set_id("Ġt", None), "the table of ids lacks the token 'Ġt'"),
        (set_id("zzz", 1_999), "the table of ids has 'zzz', which no merge makes"),
        (set_id("a", 98), "two tokens have the same id"),
        (set_id("a", -1), "ids reach from -1"),
        (set_id("a", 10**9), "ids reach from"),
        (set_added(lstrip=True), "has lstrip"),
        (set_added(single_word=True), "has single_word"),
        (rename_added("two words"), "white space"),
        (set_added(content=3), "lacks its content or its id"),
        (set_added(id="3"), "lacks its content or its id"),
        (set_added(id=3), "has two ids"),
        (lambda value: value.update(added_tokens=[3]), "the added token 3 lacks"),
        (lambda value: value.update(added_tokens=3), "added_tokens is not a list"),
        (lambda value: value.update(added_tokens=[]), "which no merge makes and which is not special"),
        (lambda value: value["added_tokens"].pop(0), "which no merge makes and which is not special"),
        (lambda value: value.update(model=[]), "model is not a JSON object"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_in_one_line(
    huggingface_file: Callable[..., Path], change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    refuses(words, read_vocabulary, huggingface_file(change))


def test_ignore_merges_where_merging_gives_something_else(tmp_path: Path) -> None:
    # To make abc takes the merges of bc and a; but ab comes first, so that abc is never made.
    merges = [(97, 98), (98, 99), (97, 257)]
    path = tmp_path / "tokenizer.json"
    write_vocabulary(make_vocabulary("gpt2", merges), path, "huggingface")
    assert read_vocabulary(path).merges == tuple(merges)
    value = json.loads(path.read_text("utf-8"))
    value["model"]["ignore_merges"] = True
    path.write_text(json.dumps(value), "utf-8")
    theirs = tokenizers.Tokenizer.from_file(str(path))
    assert theirs.encode("abc").ids == [258] != Tokenizer("gpt2", merges).encode("abc")
    refuses(r"ignore_merges is true and merging does not make the token b'abc'", read_vocabulary, path)
    # tiktoken joins ab and c, as their bytes are those of a token: without merges it would be another tokenizer.
    vocabulary = make_vocabulary("gpt2", merges)
    refuses(r"without the merges would give other ids", write_vocabulary, vocabulary, path, "tiktoken")


def test_no_known_end_of_text_needs_the_option(huggingface_file: Callable[..., Path]) -> None:
    def rename(value: dict[str, Any]) -> None:
        value["model"]["vocab"]["<|fin|>"] = value["model"]["vocab"].pop("<|endoftext|>")
        value["added_tokens"][0]["content"] = "<|fin|>"

    path = huggingface_file(rename)
    refuses(r"none of the special tokens .*'<\|fin\|>'.*--end-of-text", read_vocabulary, path)
    refuses(r"no special token 'x' .*--end-of-text", read_vocabulary, path, None, "x")
    assert read_vocabulary(path, None, "<|fin|>").end_of_text == "<|fin|>"
