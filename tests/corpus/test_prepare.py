"""The whole way: from files of every kind to shards and manifest, and one clear line for each bad input."""

import bz2
import gzip
import json
import lzma
import math
import os
import random
import sys
import zlib
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.corpus import python_library, read
from homespun.corpus.manifest import MANIFEST_NAME
from homespun.corpus.normalize import normalize
from homespun.corpus.prepare import CorpusManifest, iterate_documents, iterate_texts, prepare, verify
from homespun.corpus.settings import CorpusConfig
from homespun.corpus.sources import list_files, scan

PAGE = """<html><head><title>T</title><script>var hidden = 1;</script><meta charset="windows-1251"></head><body>
<nav>menu menu</nav><article><p>%s</p></article></body></html>"""


def prose(seed: int, words: int = 200) -> str:
    """Text that is different for every seed."""
    choose = random.Random(seed)
    lines = [" ".join(f"word{choose.randrange(1000)}" for _ in range(10)) for _ in range(words // 10)]
    return "\n\n".join(lines)


def zstandard(raw: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(raw)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of sources."""
    place = tmp_path / "library"
    place.mkdir()
    return place


def kept_texts(out: Path) -> list[str]:
    """All texts of a corpus whose documents were short enough not to be cut."""
    return sorted([*iterate_texts(out, "train"), *iterate_texts(out, "validation")])


def fill(folder: Path, count: int = 30) -> list[str]:
    """Plain text files that are not the test's subject, so that a corpus comes out."""
    texts = [prose(seed) for seed in range(1000, 1000 + count)]
    for number, text in enumerate(texts):
        (folder / f"filler{number:02d}.txt").write_text(text)
    return texts


def test_every_kind_of_file_gives_its_text(folder: Path, tmp_path: Path) -> None:
    expected = fill(folder)
    texts = [prose(seed) for seed in range(20)]
    utf8 = [text.encode() for text in texts]
    (folder / "a.md").write_bytes(utf8[0])
    (folder / "b.py.gz").write_bytes(gzip.compress(utf8[1]))
    (folder / "c.txt.bz2").write_bytes(bz2.compress(utf8[2]))
    (folder / "d.txt.zst").write_bytes(zstandard(utf8[3]))
    (folder / "e.txt.xz").write_bytes(lzma.compress(utf8[4]))
    (folder / "f.jsonl").write_text(json.dumps({"text": texts[5]}) + "\n{broken\n" + json.dumps({"text": texts[6]}))
    (folder / "g.json").write_text(json.dumps([{"content": texts[7]}, {"content": texts[8]}]))
    (folder / "h.csv").write_text('id,text\n1,"' + texts[9] + '"\n')
    (folder / "i.tsv").write_text("text\tlabel\n" + texts[10].replace("\n", " ") + "\t1\n")
    table = pyarrow.table({"text": [texts[11], None], "url": ["http://x", "http://y"]})
    parquet.write_table(table, folder / "j.parquet")
    (folder / "k.parquet.gz").write_bytes(gzip.compress((folder / "j.parquet").read_bytes()[:-1] + b"X"))
    (folder / "l.html").write_bytes((PAGE % ("Добрый день, читатель. " * 40)).encode("cp1251"))
    (folder / "m.strange").write_bytes(utf8[12])
    (folder / "n.unknown").write_bytes(b"\x89PNG\0\0\0\x01")
    (folder / "o.png").write_bytes(b"\x89PNG")
    (folder / "p.json").write_text('{"name": "no text here"}')
    (folder / "q.txt").write_bytes(utf8[0] + b"  \r\n")  # a duplicate of a.md once normalized
    (folder / "r.txt.gz").write_bytes(gzip.compress(utf8[13])[:-20])
    (folder / ".hidden.txt").write_text("never read")
    for name in ("__pycache__", ".git", "node_modules"):
        (folder / name).mkdir()
        (folder / name / "inside.txt").write_text("never read")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "deeper" / "s.txt").write_bytes(codecs_utf16(texts[14]))

    out = tmp_path / "corpus"
    advanced: list[int] = []
    manifest = prepare([str(folder), str(folder / "a.md")], out, CorpusConfig(), advanced.append)
    counts = manifest.counts
    kept = kept_texts(out)
    expected += [*texts[:10], texts[10].replace("\n", " "), texts[11], texts[12], texts[14]]
    assert set(expected) <= set(kept)
    [page] = [text for text in kept if "Добрый" in text]
    assert "hidden" not in page
    assert "menu" not in page
    assert not any("never read" in text for text in kept)
    assert counts.documents_duplicate == 1
    assert counts.malformed_lines == 2
    assert counts.malformed_files == [
        "library/f.jsonl: 1 malformed, the first in line 2",
        "library/j.parquet: 1 malformed, the first in line 2",
    ]
    assert counts.files_binary == 2
    assert counts.unknown_endings == {".strange": 1, ".unknown": 1}
    assert counts.without_text_column == [
        "library/p.json has no text column (no text, content, document or body); its columns: name"
    ]
    assert [line.split(":")[0] for line in counts.unreadable_files] == ["library/k.parquet.gz", "library/r.txt.gz"]
    assert counts.encodings["windows-1251"] == 1
    assert counts.encodings["utf-16-le"] == 1
    assert counts.endings[".md"] == 1
    assert sum(advanced) == scan([str(folder)]).bytes
    assert [d.url for d in all_documents(out) if d.source == "library/j.parquet"] == ["http://x"]
    check_totals(out, manifest)


def codecs_utf16(text: str) -> bytes:
    return b"\xff\xfe" + text.encode("utf-16-le")


def all_documents(out: Path) -> list:
    return [*iterate_documents(out, "train"), *iterate_documents(out, "validation")]


def check_totals(out: Path, manifest: CorpusManifest) -> None:
    """The manifest against what is on the disk."""
    assert CorpusManifest.load(out) == manifest == verify(out)
    for split, totals in manifest.splits.items():
        texts = list(iterate_texts(out, split))
        assert totals.documents == len(texts)
        assert totals.characters == sum(map(len, texts))
        assert totals.bytes == sum(len(text.encode()) for text in texts)
    total = sum(split.bytes for split in manifest.splits.values())
    assert total == manifest.counts.bytes_kept


def test_compression_is_that_of_the_programs(folder: Path, tmp_path: Path) -> None:
    fill(folder)
    manifest = prepare([str(folder)], tmp_path / "corpus")
    raw = b"".join(text.encode() for text in iterate_texts(tmp_path / "corpus", "validation"))
    measured = manifest.compression
    assert measured.bytes == len(raw) > 0
    assert measured.gzip_bits_per_byte == round(8 * len(gzip.compress(raw, 9)) / len(raw), 4)
    assert measured.xz_bits_per_byte == round(8 * len(lzma.compress(raw)) / len(raw), 4)
    shares = [raw.count(byte) / len(raw) for byte in set(raw)]
    assert measured.unigram_bits_per_byte == pytest.approx(-sum(s * math.log2(s) for s in shares), abs=1e-4)


def test_the_same_sources_give_the_same_corpus(folder: Path, tmp_path: Path) -> None:
    fill(folder)
    first = prepare([str(folder)], tmp_path / "one")
    second = prepare([str(folder)], tmp_path / "two")
    again = prepare([str(folder)], tmp_path / "one")  # replaces the first
    assert first == second == again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library", "one", "two"]


def test_duplicates_do_not_change_the_corpus(folder: Path, tmp_path: Path) -> None:
    fill(folder)
    prepare([str(folder)], tmp_path / "one")
    (folder / "zz").mkdir()
    fill(folder / "zz")
    twice = prepare([str(folder)], tmp_path / "two")
    assert twice.counts.documents_duplicate == 30
    assert kept_texts(tmp_path / "one") == kept_texts(tmp_path / "two")


@pytest.mark.parametrize("cap", [5_000, 20_001])
def test_the_cap_takes_an_even_sample_and_says_what_it_left(folder: Path, tmp_path: Path, cap: int) -> None:
    fill(folder)
    advanced: list[int] = []
    manifest = prepare([str(folder)], tmp_path / "corpus", CorpusConfig(maximum_bytes=cap), advanced.append)
    counts = manifest.counts
    assert cap - 2_000 < counts.bytes_kept <= cap
    assert counts.files_read + counts.files_left_out_by_cap == 30
    assert counts.bytes_left_out_by_cap > 0
    assert counts.cut_short_by_cap.startswith("library/filler")
    assert sum(advanced) == scan([str(folder)]).bytes
    sources = sorted({document.source for document in all_documents(tmp_path / "corpus")})
    assert sources != [f"library/filler{number:02d}.txt" for number in range(len(sources))]
    check_totals(tmp_path / "corpus", manifest)


def test_a_long_file_is_never_whole_and_comes_back_exactly(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PIECE_CHARACTERS", 10_000)
    text = "\n\n".join(prose(seed, 100) for seed in range(60))
    (folder / "long.txt").write_text(text)
    prepare([str(folder)], tmp_path / "corpus", CorpusConfig(passage_characters=500))
    documents = all_documents(tmp_path / "corpus")
    assert max(len(document.text) for document in documents) <= 10_000
    ordered = sorted(documents, key=lambda d: (d.metadata["piece"], d.metadata.get("run", 0)))
    assert "".join("".join(d.text for d in ordered).split()) == "".join(text.split())


def test_an_unreadable_file_is_named_and_passed_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder)
    opened = read.open_bytes

    def refuse(path: Path, *details: object):
        if path.name == "filler03.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *details)

    monkeypatch.setattr(read, "open_bytes", refuse)
    counts = prepare([str(folder)], tmp_path / "corpus").counts
    assert counts.files_read == 29
    assert counts.files_unreadable == 1
    assert counts.unreadable_files[0].startswith("library/filler03.txt: ")


def one_line(error: pytest.ExceptionInfo[HomespunError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_bad_sources_are_one_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    with pytest.raises(UsageError) as error:
        prepare([], out)
    with pytest.raises(UsageError) as error:
        prepare([str(folder / "absent")], out)
    one_line(error, str(folder / "absent"), "does not exist")
    with pytest.raises(HomespunError) as error:
        scan([str(folder)])
    one_line(error, str(folder), "no files")
    for number in range(12):
        (folder / f"{number}.{'png' if number % 2 else 'strange'}").write_bytes(b"\0\1\2")
    with pytest.raises(HomespunError) as error:
        prepare([str(folder)], out)
    one_line(error, "12 files, all binary")
    (folder / "only.png").write_bytes(b"\0")
    with pytest.raises(HomespunError) as error:
        prepare([str(folder / "only.png")], out)
    one_line(error, "1 file, all binary")
    (folder / "small.txt").write_text("x" * 212)
    with pytest.raises(HomespunError) as error:
        prepare([str(folder)], out)
    one_line(error, "212 characters", "at least 1,000")
    (folder / "same.txt").write_text("x" * 5000)
    with pytest.raises(HomespunError) as error:
        prepare([str(folder / "same.txt")], out)
    one_line(error, "over and over")
    (folder / "table.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    with pytest.raises(HomespunError) as error:
        prepare([str(folder / "table.jsonl")], out)
    one_line(error, "table.jsonl", "question, answer")
    parquet.write_table(pyarrow.table({"number": [1]}), folder / "table.parquet")
    with pytest.raises(HomespunError) as error:
        prepare([str(folder / "table.parquet")], out)
    one_line(error, "table.parquet", "number")
    (folder / "cut.txt.zst").write_bytes(zstandard(b"a" * 100)[:9])
    with pytest.raises(HomespunError) as error:
        prepare([str(folder / "cut.txt.zst")], out)
    one_line(error, "cut.txt.zst", "unreadable")
    assert [path.name for path in tmp_path.iterdir()] == ["library"]  # nothing half made is left


def test_other_folders_are_never_replaced(folder: Path, tmp_path: Path) -> None:
    fill(folder)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError) as error:
        prepare([str(folder)], precious)
    one_line(error, "no corpus")
    with pytest.raises(UsageError) as error:
        prepare([str(folder / "filler00.txt")], folder)
    one_line(error, "lies inside the output")
    assert (precious / "thesis.txt").read_text() == "years of work"
    inside = folder / "corpus"
    first = prepare([str(folder)], inside)
    assert prepare([str(folder)], inside) == first  # the old output is no source of the new one


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"validation_fraction": 0.0}, "corpus.validation_fraction"),
        ({"validation_fraction": float("nan")}, "corpus.validation_fraction"),
        ({"maximum_bytes": -1}, "corpus.maximum_bytes"),
        ({"passage_characters": 1}, "corpus.passage_characters"),
        ({"minimum_characters": 0}, "corpus.minimum_characters"),
    ],
)
def test_bad_settings_name_their_key(settings: dict, key: str) -> None:
    with pytest.raises(UsageError) as error:
        CorpusConfig(**settings)
    one_line(error, key)


def test_damage_is_found(folder: Path, tmp_path: Path) -> None:
    fill(folder)
    out = tmp_path / "corpus"
    prepare([str(folder)], out)
    shard = out / "train-00000.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(DamagedFileError, match=r"train-00000\.parquet"):
        verify(out)
    shard.write_bytes(whole[:-50])
    with pytest.raises(DamagedFileError, match=r"train-00000\.parquet"):
        list(iterate_texts(out, "train"))
    shard.unlink()
    with pytest.raises(DamagedFileError, match=r"train-00000\.parquet is missing"):
        verify(out)
    stored = json.loads((out / MANIFEST_NAME).read_text())
    for change, message in (({"format_version": 99}, "version 99"), ({"splits": 3}, "damaged"), ({"format": 1}, "not")):
        (out / MANIFEST_NAME).write_text(json.dumps({**stored, **change}))
        with pytest.raises(DamagedFileError, match=message):
            CorpusManifest.load(out)
    with pytest.raises(HomespunError, match="no corpus"):
        CorpusManifest.load(folder)


def test_shards_are_cut_by_size(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.corpus import shards

    monkeypatch.setattr(shards, "SHARD_BYTES", 10_000)
    monkeypatch.setattr(shards, "GROUP_BYTES", 3_000)
    expected = fill(folder)
    manifest = prepare([str(folder)], tmp_path / "corpus")
    assert len(manifest.splits["train"].shards) > 2
    assert kept_texts(tmp_path / "corpus") == sorted(expected)
    check_totals(tmp_path / "corpus", manifest)


def test_documentation_of_a_module() -> None:
    source = '"""About it."""\nclass A(B):\n    """A class."""\n'
    source += '    def f(self, x: int = 3, *y) -> str:\n        """Does."""\n'
    source += "    def _g(self):\n        '''No.'''\n"
    source += "async def h():\n    '''First.\n\n       More.\n    '''\ndef bare(): pass\n"
    assert python_library.documentation_page(source, "m") == (
        "Help on module m:\n\nAbout it.\n\nclass A(B)\n    A class.\n\n    f(self, x: int=3, *y) -> str\n"
        "        Does.\n\nasync h()\n    First.\n\n    More.\n"
    )
    assert python_library.documentation_page("x = 1\n", "m") == ""
    assert python_library.documentation_page("def broken(:\n", "m") == ""


def test_the_python_library_is_a_source_and_runs_nothing() -> None:
    files = {file.label: file for file in list_files(["python"]).files}
    assert {"python/json/decoder.py", "python/asyncio/__init__.py", "python/pydoc_data/topics.py"} <= set(files)
    assert not any("/test/" in label or "site-packages" in label or "encodings" in label for label in files)
    size = scan(["python"])
    assert size.files == len(files) > 300
    assert 5_000_000 < size.bytes < 30_000_000
    [only] = python_library.library_documents(files["python/this.py"])
    assert only.metadata == {"kind": "source", "module": "this"}
    assert "this" not in sys.modules
    _, page = python_library.library_documents(files["python/json/decoder.py"])
    assert page.text.startswith("Help on module json.decoder:")
    assert "Simple JSON <https://json.org> decoder" in page.text
    topics = list(python_library.library_documents(files["python/pydoc_data/topics.py"]))
    assert any(topic.metadata["topic"] == "for" for topic in topics)


def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_library.sysconfig, "get_path", lambda _name: str(tmp_path / "python311.zip"))
    with pytest.raises(HomespunError) as error:
        scan(["python"])
    one_line(error, "python311.zip", "folder with text")


def real(*names: str) -> list[str]:
    if "HOMESPUN_DATA" not in os.environ:
        pytest.skip(f"HOMESPUN_DATA is not set: {', '.join(names)}")
    return [str(Path(os.environ["HOMESPUN_DATA"], name)) for name in names]


def test_tiny_shakespeare_splits(tmp_path: Path) -> None:
    [name] = real("tinyshakespeare/input.txt")
    manifest = prepare([name], tmp_path / "corpus")
    sizes = {split: totals.bytes for split, totals in manifest.splits.items()}
    text = normalize(Path(name).read_text())
    assert sum(sizes.values()) == len(text) > 1_115_000
    assert 0.04 < sizes["validation"] / sum(sizes.values()) < 0.16
    documents = sorted(all_documents(tmp_path / "corpus"), key=lambda document: document.metadata["run"])
    assert "".join(document.text for document in documents) == text
    assert manifest.compression.xz_bits_per_byte < manifest.compression.gzip_bits_per_byte < 4


def test_real_books_tables_and_pages(tmp_path: Path) -> None:
    sources = real("books", "bengali", "imdb-sample", "peps")
    manifest = prepare(sources, tmp_path / "corpus")
    counts = manifest.counts
    assert counts.encodings["cp1252"] == 2
    assert counts.files_unreadable == counts.files_binary == counts.files_undecodable == 0
    assert counts.endings[".tsv"] == 2
    sources_seen = {document.source for document in iterate_documents(tmp_path / "corpus", "train")}
    assert "books/frankenstein/84-h_84-h.htm.zst" in sources_seen
    assert any("মহাজোটের\tO\n" in text for text in kept_texts(tmp_path / "corpus"))
    check_totals(tmp_path / "corpus", manifest)


def test_gzip_meter_agrees_with_zlib() -> None:
    from homespun.corpus.compressibility import CompressionMeter

    parts = [random.Random(seed).randbytes(700_000) for seed in range(4)]
    with CompressionMeter() as meter:
        for part in parts:
            meter.add(part)
        measured = meter.result()
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    size = len(compressor.compress(b"".join(parts)) + compressor.flush())
    assert measured.gzip_bits_per_byte == round(8 * size / 2_800_000, 4)
    assert measured.unigram_bits_per_byte == pytest.approx(8, abs=0.01)
