"""Pairs of texts from tables: nothing is mixed up, nothing is cut, both sides go the same way."""

import gzip
import json
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from homespun.common.errors import HomespunError, UsageError
from homespun.corpus.normalize import normalize
from homespun.corpus.pairs import clean, make_pair, sides
from homespun.corpus.prepare import CorpusManifest, iterate_documents, iterate_pairs, prepare
from homespun.corpus.settings import CorpusConfig

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["\u0301", " a", "a ", "\n\n\n", "b\n\n\n", "\n\nc", "\u00ad", "\r", "e", "\u2028x"]
)
PAIRS = [(f"a sentence, number {i}", f"ein Satz, Nummer {i}") for i in range(200)]
ENGLISH_TO_GERMAN = CorpusConfig(source_column="en", target_column="de")


def in_json_lines(pairs: list[tuple[str, str]]) -> str:
    return "".join(json.dumps({"en": en, "de": de, "more": 1}) + "\n" for en, de in pairs)


def all_pairs(corpus: Path) -> list[tuple[str, str]]:
    return [pair for split in ("train", "validation") for pair in iterate_pairs(corpus, split)]


@given(TEXTS, TEXTS)
def test_the_two_sides_come_back_and_normalizing_the_whole_changes_nothing(source: str, target: str) -> None:
    document = make_pair(source, target, "x")
    if not clean(source) or not clean(target):
        assert document.text == ""
        return
    assert sides(document) == (clean(source), clean(target))
    assert normalize(document.text) == document.text
    assert clean(clean(source)) == clean(source)


def test_other_documents_are_no_pairs() -> None:
    from homespun.corpus.document import make_document

    assert sides(make_document("one\ntwo", "x")) is None


def test_every_kind_of_table_gives_its_pairs(tmp_path: Path) -> None:
    rows = [("en", "de", "id"), *((en, de, "7") for en, de in PAIRS)]
    (tmp_path / "a.jsonl").write_text(in_json_lines(PAIRS))
    (tmp_path / "b.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    (tmp_path / "c.csv").write_text("".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(in_json_lines(PAIRS).encode()))
    (tmp_path / "e.json").write_text(json.dumps([{"de": de, "EN": en} for en, de in PAIRS]))
    table = {"en": [en for en, _ in PAIRS], "de": [de for _, de in PAIRS]}
    parquet.write_table(pyarrow.table(table), tmp_path / "f.parquet")
    for file in sorted(tmp_path.glob("*.*")):
        corpus = tmp_path / f"corpus-{file.name}"
        prepare([str(file)], corpus, ENGLISH_TO_GERMAN)
        assert sorted(all_pairs(corpus)) == sorted(PAIRS), file.name
        assert CorpusManifest.load(corpus).config == ENGLISH_TO_GERMAN
    turned = tmp_path / "turned"
    prepare([str(tmp_path / "a.jsonl")], turned, CorpusConfig(source_column="de", target_column="en"))
    assert sorted(all_pairs(turned)) == sorted((de, en) for en, de in PAIRS)


def test_quotes_in_tabbed_tables_are_only_quotes(tmp_path: Path) -> None:
    pairs = [*PAIRS, ('"Go," he said, "now"', '"Geh", sagte er, "jetzt"')]
    (tmp_path / "a.tsv").write_text("en\tde\n" + "".join(f"{en}\t{de}\n" for en, de in pairs))
    prepare([str(tmp_path / "a.tsv")], tmp_path / "corpus", ENGLISH_TO_GERMAN)
    assert sorted(all_pairs(tmp_path / "corpus")) == sorted(pairs)


def test_a_pair_is_never_cut_and_goes_where_its_source_goes(tmp_path: Path) -> None:
    pairs = [(f"sentence {i} " * 30, f"Satz {i}, {version} " * 30) for i in range(40) for version in range(3)]
    (tmp_path / "a.jsonl").write_text(in_json_lines(pairs))
    config = CorpusConfig(source_column="en", target_column="de", validation_fraction=0.3, passage_characters=64)
    prepare([str(tmp_path / "a.jsonl")], tmp_path / "corpus", config)
    assert sorted(all_pairs(tmp_path / "corpus")) == sorted((en.strip(), de.strip()) for en, de in pairs)
    train, validation = ({en for en, _ in iterate_pairs(tmp_path / "corpus", s)} for s in ("train", "validation"))
    assert train and validation and not train & validation


def test_what_is_no_pair_is_counted(tmp_path: Path) -> None:
    odd = [{"en": "only one side"}, {"en": "empty", "de": "  \n"}, {"en": 3, "de": "x"}, "a string", *[
        {"en": en, "de": de} for en, de in [*PAIRS, PAIRS[0]]]]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [odd[-2], *odd]))
    counts = prepare([str(tmp_path / "a.jsonl")], tmp_path / "corpus", ENGLISH_TO_GERMAN).counts
    assert counts.malformed_lines == 3
    assert counts.documents_too_short == 1
    assert counts.documents_duplicate == 2
    assert counts.documents_kept == len(PAIRS)


def test_the_cap_leaves_out_whole_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(in_json_lines(PAIRS))
    config = CorpusConfig(source_column="en", target_column="de", maximum_bytes=2010)
    counts = prepare([str(tmp_path / "a.jsonl")], tmp_path / "corpus", config).counts
    assert 1900 < counts.bytes_kept <= 2010
    assert set(all_pairs(tmp_path / "corpus")) <= set(PAIRS)


def test_the_measure_of_compression_is_that_of_the_targets(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(in_json_lines(PAIRS))
    manifest = prepare([str(tmp_path / "a.jsonl")], tmp_path / "corpus", ENGLISH_TO_GERMAN)
    targets = sum(len(de.encode()) for _, de in iterate_pairs(tmp_path / "corpus", "validation"))
    assert manifest.compression.bytes == targets


def test_sources_without_pairs_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "table.tsv").write_text("english\tgerman\na\tb\n")
    (tmp_path / "text.txt").write_text("only a text " * 200)
    for name, columns in (("table.tsv", "its columns: english, german"), ("text.txt", "its columns: none")):
        with pytest.raises(HomespunError) as error:
            prepare([str(tmp_path / name)], tmp_path / "corpus", ENGLISH_TO_GERMAN)
        assert str(error.value) == (
            f"{name} has no columns en and de (for pairs of texts); {columns}; "
            "name them with corpus.source_column and corpus.target_column"
        )
    with pytest.raises(HomespunError, match=r"has no columns en and de .*; name them with"):
        prepare([str(tmp_path)], tmp_path.parent / "corpus", ENGLISH_TO_GERMAN)


def test_a_corpus_of_texts_has_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(f"only a text, line {i}\n" for i in range(200)))
    prepare([str(tmp_path / "text.txt")], tmp_path / "corpus", CorpusConfig(passage_characters=64))
    with pytest.raises(HomespunError, match="holds texts, not pairs"):
        list(iterate_pairs(tmp_path / "corpus", "train"))
    assert list(iterate_documents(tmp_path / "corpus", "train"))


def test_columns_are_named_both_and_differ() -> None:
    with pytest.raises(UsageError, match="only one is given"):
        CorpusConfig(source_column="en")
    with pytest.raises(UsageError, match="are both 'en'"):
        CorpusConfig(source_column="en", target_column=" EN")
