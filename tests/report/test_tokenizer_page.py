"""The page of a tokenizer: whole with and without texts, safe with hostile ones, self-contained; its numbers agree."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import HomespunError
from homespun.report.tokenizer_comparison import sample_of
from homespun.report.tokenizer_measure import (
    different_words,
    dominant_script,
    is_text,
    longest_words,
    measure_all,
    repeats_itself,
    stretches,
)
from homespun.report.tokenizer_page import tokenizer_page, write_tokenizer_report
from homespun.report.tokenizer_trees import interesting_tokens, nodes_of, tree_of
from homespun.report.tokenizer_vocabulary import columns
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.split import bytes_of_text
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import train_tokenizer
from homespun.tokenizer.vocabulary import Vocabulary

ENGLISH = "The weavers of the village were weaving, and the weaver's daughter was singing to the weavers.\n\n"
BENGALI = "বাংলা ভাষায় কথা বলি, বাংলা ভাষায় গান গাই। তাঁতিরা কাপড় বোনে।\n"
RUSSIAN = "Ткачи ткали полотно, а дочь ткача пела ткачам песни о полотне.\n"
CODE = (
    "def weave(self, threads: list[int]) -> None:\n    self.cloth[threads] = [x * 2 for x in threads]\n"
    + " " * 40
    + "\n"
)
TEXTS = {"English": ENGLISH * 8, "বাংলা": BENGALI * 8, "русский": RUSSIAN * 8, "code": CODE * 8}
HOSTILE = "</pre></figure><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)' \x00"
HOSTILE += "\x1b[31m\u202egnp"
VOID = {"meta"}


class Checker(HTMLParser):
    """Collects tags, attributes and words, and complains about tags that do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice: {attrs}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check(page: str) -> Checker:
    """Parse a page: well nested, ids unique, links lead somewhere, nothing loaded and nothing run."""
    checker = Checker(page)
    ids = [attributes["id"] for _, attributes in checker.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes["href"] in {f"#{one}" for one in ids} for tag, attributes in checker.tags if tag == "a")
    assert not {"link", "img", "iframe", "object", "script", "base", "form", "b"} & {tag for tag, _ in checker.tags}
    for _, attributes in checker.tags:
        assert not {"src", "srcset", "xlink:href", "data", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        for one in (attributes.get("aria-labelledby") or "").split():
            assert one in ids
    assert "url(" not in page.partition("</style>")[0] and "default-src 'none'" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\ud800-\udfff]", page)
    return checker


def sections(checker: Checker) -> list[str | None]:
    return [attributes["id"] for tag, attributes in checker.tags if tag == "section"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS.values(), TokenizerConfig(vocabulary_size=500))[0]


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return train_tokenizer([ENGLISH * 8], TokenizerConfig(vocabulary_size=300, pattern="gpt2"))[0]


def test_the_page_has_every_part(tokenizer: Tokenizer, small: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    write_tokenizer_report(tokenizer, TEXTS, out, {"a small one": small})
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    checker = check(out.read_text("utf-8"))
    assert sections(checker) == ["facts", "length", "samples", "longest", "trees", "use"]
    words = " ".join(checker.words)
    for expected in ("a small one", tokenizer.identity(), small.identity(), "<|endoftext|>", "Bengali", "Cyrillic",
                     "русский", "all together", "unused share", "in the vocabulary", "a small one needs"):  # fmt: skip
        assert expected in words, expected
    titles = {attributes.get("title") for tag, attributes in checker.tags if tag == "span"}
    assert f"token {tokenizer.encode(ENGLISH)[0]}" in titles
    assert sum(attributes.get("class") == "tree" for tag, attributes in checker.tags if tag == "svg") >= 6
    assert "⟨" in words  # the small one has no Bengali letters


def test_samples_are_shown_whole(tokenizer: Tokenizer) -> None:
    page = tokenizer_page(tokenizer, {"code": CODE})
    picture = page.partition('<pre class="tokens" dir="auto">')[2].partition("</pre>")[0]
    shown = "".join(Checker(f"<pre>{picture}</pre>").words)
    assert shown.replace("↵\n", "\n").replace("·", " ") == sample_of(CODE)
    assert picture.count('<span class="token') == len(tokenizer.encode(sample_of(CODE)))


@pytest.mark.parametrize("texts", [{}, {"nothing": ""}, {"a": "", "b": ""}])
def test_without_texts_the_rest_is_there(tokenizer: Tokenizer, small: Tokenizer, texts: dict[str, str]) -> None:
    checker = check(tokenizer_page(tokenizer, texts, {"other": small}))
    assert sections(checker) == ["facts", "longest", "trees"]
    assert any(attributes.get("class") == "tree" for _, attributes in checker.tags)


@pytest.mark.parametrize(
    "text", ["\n", " \t\r\n\u2028", "x", "\ud800", "\udcff", "\x00", "\u0301", HOSTILE * 30, "é" * 9]
)
def test_odd_texts(tokenizer: Tokenizer, small: Tokenizer, text: str) -> None:
    checker = check(tokenizer_page(tokenizer, {"odd": text, "empty": "", "more": ENGLISH}, {"other": small}))
    assert "use" in sections(checker)


def test_hostile_names_and_texts_stay_text(tokenizer: Tokenizer) -> None:
    hostile = train_tokenizer([HOSTILE * 50], TokenizerConfig(vocabulary_size=400))[0]
    named = Vocabulary("homespun", hostile.merges, {"<|endoftext|>": 900, "<script>alert(9)</script>": 901})
    texts = {HOSTILE: HOSTILE * 20, "\ud800": "\ud83d lone"}
    page = tokenizer_page(Tokenizer.of(named), texts, {HOSTILE: hostile, "this tokenizer": tokenizer})
    check(page)
    assert "&lt;script&gt;alert(1)" in page and "&lt;script&gt;alert(9)" in page


def test_a_tokenizer_without_merges() -> None:
    bare = Tokenizer("homespun", [])
    checker = check(tokenizer_page(bare, TEXTS))
    assert "No merge has made a long word so far." in checker.words
    check(tokenizer_page(bare, {}))


def test_ids_with_gaps_and_in_another_order(tokenizer: Tokenizer) -> None:
    learned = len(tokenizer.merges) + 256
    ids = tuple(range(learned + 9, 9, -1))
    other = Tokenizer.of(Vocabulary("homespun", tokenizer.merges, {"<|endoftext|>": 3}, ids))
    assert measure_all({"a": other}, TEXTS)["a"].total == measure_all({"a": tokenizer}, TEXTS)["a"].total
    page = tokenizer_page(other, TEXTS)
    check(page)
    assert "its own, imported" in page and f'title="token {other.encode(ENGLISH)[0]}"' in page


def test_a_file_that_cannot_be_written_is_one_line(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match="cannot write"):
        write_tokenizer_report(tokenizer, {}, tmp_path / "absent" / "page.html")


def test_measured_numbers_agree_with_encoding(tokenizer: Tokenizer, small: Tokenizer) -> None:
    for one, measured in zip(
        (tokenizer, small), measure_all({"a": tokenizer, "b": small}, TEXTS).values(), strict=True
    ):
        for name, text in TEXTS.items():
            count = measured.by_source[name]
            assert (count.tokens, count.bytes) == (len(one.encode(text)), len(text.encode()))
        scripts = measured.by_script.values()
        total = measured.total
        assert total.tokens == sum(count.tokens for count in scripts) == measured.uses.total()
        assert total.bytes == sum(count.bytes for count in scripts)
        assert set(measured.by_script) == {"Latin", "Bengali", "Cyrillic", "code"}
        assert measured.by_script["Latin"].bytes == measured.by_source["English"].bytes
        bengali = one.encode(TEXTS["বাংলা"])
        assert measured.by_script["Bengali"].parts == sum(not is_text(one.token_bytes(token)) for token in bengali)


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters() | st.sampled_from("\n\r\u2028aЖক字か"), max_size=30), max_size=5).map("\n".join)
)
def test_stretches_cover_the_text(text: str) -> None:
    cuts = stretches(text)
    assert [cut.end for cut in cuts] == sorted({cut.end for cut in cuts})
    assert (cuts[-1].end if cuts else 0) == len(bytes_of_text(text))
    measured = measure_all({"bytes": Tokenizer("homespun", [])}, {"a": text})["bytes"].total
    assert measured.tokens == measured.bytes == len(bytes_of_text(text))


@pytest.mark.parametrize(
    ("line", "script"),
    [
        ("Plain words, of course (and a remark).", "Latin"), ("Größe naïve ḁ", "Latin"),
        ("Привет, world и мир", "Cyrillic"),
        ("বাংলা ভাষায় কথা বলি।", "Bengali"), ("हिन्दी में लिखना।", "Devanagari"), ("می‌خواهم بروم", "Arabic"),
        ("מַה שְּׁלוֹמְךָ", "Hebrew"), ("Ἐν ἀρχῇ ἦν ὁ λόγος", "Greek"), ("ภาษาไทย", "Thai"), ("中文字符没有空格。", "CJK"),
        ("日本語を勉強します", "Kana"), ("한국어 문장", "Hangul"), ("12, 15 and 3000000", "digits"), ("১২৩", "Bengali"),
        ("for (i = 0; i < n; i++) { a[i] = b; }", "code"), ("}", "code"), ("— … —", "other"), ("தமிழ்", "other"),
        (" \t\n", ""), ("", ""), ("\ud800", "other"),
    ],
)  # fmt: skip
def test_scripts(line: str, script: str) -> None:
    assert dominant_script(line) == script


def test_runs_are_no_words() -> None:
    for run in (b"  ", b" " * 40, b"-" * 8, b"=-=-=-=-", b"\n\n\n", b"                    return"):
        assert repeats_itself(run)
    for word in (b"Mississippi", b" weaving", b"a", "বাংলা".encode(), b" == "):
        assert not repeats_itself(word)
    assert different_words([b" weavers", b"weaver", b"Weavers", b" of"], 5) == [b" weavers", b" of"]


def test_trees_give_the_bytes_back(tokenizer: Tokenizer) -> None:
    uses = measure_all({"a": tokenizer}, TEXTS)["a"].uses
    tokens = interesting_tokens(tokenizer, uses)
    assert 6 <= len(tokens) == len(set(tokens)) <= 12
    learned = tokenizer.vocabulary.learned_bytes
    scripts = {dominant_script(learned[token].decode()) for token in tokens}
    assert {"Latin", "Bengali", "Cyrillic"} <= scripts
    for token in tokens:
        tree = tree_of(tokenizer, token)
        leaves = [node for node in nodes_of(tree) if not node.children]
        assert b"".join(leaf.raw for leaf in leaves) == tree.raw == learned[token]
        assert [leaf.first for leaf in leaves] == list(range(len(leaves)))
        assert all(child.token < node.token for node in nodes_of(tree) for child in node.children)


def test_small_things(tokenizer: Tokenizer) -> None:
    assert columns({1: 1, 2: 2, 16: 3, 400: 2})[:3] == [0.125, 0.25, 0.0] and columns({400: 1})[-1] == 1.0
    assert sum(columns({})) == 0.0
    assert sample_of("  \n short \n") == "short" and len(sample_of("x" * 5000)) == 320
    assert len(sample_of("word " * 500)) <= 320 and sample_of("word " * 500).endswith("word")
    assert set(longest_words(tokenizer, 5)) >= {"Latin", "Bengali", "Cyrillic"}
