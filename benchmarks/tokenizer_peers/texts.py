"""Real texts for the benchmark, put together from a folder of data sets and the sources of the running Python.

In: ``--data``, the folder that ``HOMESPUN_DATA`` names; what it lacks is left out. Out: ``english.txt``, ``code.txt``,
``mix.txt``, ``train.txt`` and ``texts.json``, which has their true sizes and checksums. No document is there twice:
repetition would make the first pass look like a later one. So a text is as large as there is data for.

- english: novels, WikiText-2, Shakespeare, reviews, news, stories, captions, and the prose of Python's PEPs.
- code: the modules of the standard library and their tests.
- mix: English, code, Russian, Bengali and, of Chinese and 300 other languages, the Declaration of Human Rights, in
  passages that take turns. There is little Chinese in these data: 20 kB.
- train: all of it and the sources in site-packages, up to 100 MB, in an order that mixes them.
"""

import bz2
import csv
import gzip
import hashlib
import io
import json
import random
import re
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ENGLISH_BYTES, MIX_BYTES, TRAIN_BYTES = 30_000_000, 30_000_000, 100_000_000
PASSAGE = 20_000  # characters of one source before the next has its turn
SHORTEST_FIELD = 40  # characters; shorter strings of a table or JSON are labels and names
ENGLISH = (
    "books/alice_11-0.txt.zst", "books/greatexpectations_1400-0.txt.zst", "books/sherlock_1661-8.latin1.txt.zst",
    "books/timemachine_35-0.txt.zst", "books/frankenstein/84-0.txt.zst", "the-verdict/*.txt",
    "tinyshakespeare/input.txt", "wikitext2/*.txt", "imdb-sample/imdb_sample.csv", "dialogsum/*.jsonl",
    "html-articles/ground-truth.json", "alpaca-9k/*.zst", "multi30k/*.en.gz", "rag-cranfield/cran.all*.zst",
    "sms-spam/*", "sst2/*", "fewshot/lambada*", "fewshot/gsm8k*", "xquad/xquad.en*", "wikipedia/enwiki*",
    "peps/*.jsonl.gz",
)  # fmt: skip
RUSSIAN = ("russian/*.txt.zst", "russian/*.csv.zst", "russian/*.jsonl", "xquad/xquad.ru*")
BENGALI = ("bengali/*",)
MANY_LANGUAGES = ("langid-udhr2/*.zip", "badwords/*", "books/verwandlung*")


def make_texts(data: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Write the texts; return the size and the checksum of each."""
    library = Path(sysconfig.get_path("stdlib"))
    seen: set[bytes] = set()
    english = once(read_all(data, ENGLISH), seen)
    code = once(read_sources(library, lambda path: "site-packages" not in path.parts), seen)
    russian, bengali = once(read_all(data, RUSSIAN), seen), once(read_all(data, BENGALI), seen)
    others = once(read_all(data, MANY_LANGUAGES), seen)
    share = max(0, MIX_BYTES - size(russian) - size(bengali) - size(others)) // 2
    shares = [spread(english, share), spread(code, share), russian, bengali, others]
    packages = once(read_sources(Path(sysconfig.get_path("purelib")), lambda _: True), seen)
    parts = {
        "english": up_to(english, ENGLISH_BYTES),
        "code": code,
        "mix": taking_turns(shares),
        "train": taking_turns([up_to([*english, *code, *russian, *bengali, *others, *packages], TRAIN_BYTES)]),
    }
    out.mkdir(parents=True, exist_ok=True)
    facts = {}
    for name, documents in parts.items():
        raw = "\n\n".join(documents).encode("utf-8")
        (out / f"{name}.txt").write_bytes(raw)
        facts[name] = {"bytes": len(raw), "documents": len(documents), "sha256": hashlib.sha256(raw).hexdigest()}
    (out / "texts.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return facts


def size(documents: Iterable[str]) -> int:
    """Bytes as UTF-8."""
    return sum(len(document.encode("utf-8")) for document in documents)


def once(documents: Iterable[str], seen: set[bytes]) -> list[str]:
    """Every document the first time it comes, and none that is empty."""
    kept = []
    for document in documents:
        text = document.replace("\r\n", "\n").strip()
        key = hashlib.blake2b(" ".join(text.split()).encode("utf-8"), digest_size=16).digest()
        if text and key not in seen:
            seen.add(key)
            kept.append(text)
    return kept


def up_to(documents: list[str], limit: int) -> list[str]:
    """The first documents, together at most ``limit`` bytes."""
    kept, total = [], 0
    for document in documents:
        total += len(document.encode("utf-8")) + 2
        if total > limit:
            break
        kept.append(document)
    return kept


def spread(documents: list[str], limit: int) -> list[str]:
    """Documents from all places of the list, together at most ``limit`` bytes."""
    shuffled = list(documents)
    random.Random(1).shuffle(shuffled)
    return up_to(shuffled, limit)


def taking_turns(sources: list[list[str]]) -> list[str]:
    """Passages of all sources in an order that looks random and is the same every time."""
    passages = [passage for documents in sources for document in documents for passage in cut(document)]
    random.Random(2).shuffle(passages)
    return passages


def cut(document: str) -> Iterator[str]:
    """Cut a long document behind lines."""
    start = 0
    while start < len(document):
        border = document.find("\n", start + PASSAGE)
        end = len(document) if border < 0 else border
        if document[start:end].strip():
            yield document[start:end].strip("\n")
        start = end


def read_sources(folder: Path, wanted: Any) -> Iterator[str]:
    """The Python sources below a folder, in the order of their names."""
    for path in sorted(folder.rglob("*.py")):
        if wanted(path.relative_to(folder)):
            try:
                yield path.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue  # the standard library tests its decoder with files that are none


def read_all(data: Path, patterns: Iterable[str]) -> Iterator[str]:
    """The texts of all files that fit; SOURCE.md says where data come from and is none."""
    for pattern in patterns:
        for path in sorted(data.glob(pattern)):
            if path.is_file() and path.name != "SOURCE.md":
                yield from read_file(path)


def read_file(path: Path) -> Iterator[str]:
    """The texts of one file, by the end of its name."""
    if path.suffix == ".zip":
        yield from read_zip(path)
        return
    name, text = path.name, decode(decompress(path))
    for ending in (".zst", ".gz", ".bz2"):
        name = name.removesuffix(ending)
    if name.endswith(".jsonl"):
        yield from fields(json.loads(line) for line in text.splitlines() if line.strip())
    elif name.endswith(".json"):
        yield from fields([json.loads(text)])
    elif name == "punctuation_dev.tsv":  # one word and its tag a line
        yield " ".join(line.partition("\t")[0] for line in text.splitlines())
    elif name.endswith((".csv", ".tsv")):
        csv.field_size_limit(1 << 30)
        rows = csv.reader(io.StringIO(text), delimiter="\t" if name.endswith(".tsv") else ",")
        yield from (field for row in rows for field in row if len(field) >= SHORTEST_FIELD)
    elif name.endswith(".xml"):
        yield re.sub(r"<[^>]{0,200}>", "", text)
    else:
        yield text


def fields(values: Iterable[Any]) -> Iterator[str]:
    """All long strings in JSON, however deep."""
    for value in values:
        if isinstance(value, str):
            if len(value) >= SHORTEST_FIELD and " " in value:
                yield value
        elif isinstance(value, dict):
            yield from fields(value.values())
        elif isinstance(value, list):
            yield from fields(value)


def read_zip(path: Path) -> Iterator[str]:
    """The text files in an archive."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".txt"):
                yield decode(archive.read(name))


def decompress(path: Path) -> bytes:
    """The bytes of a file that may be compressed."""
    if path.suffix == ".zst":
        import pyarrow

        with pyarrow.CompressedInputStream(str(path), "zstd") as stream:
            return stream.read()
    openers = {".gz": gzip.open, ".bz2": bz2.open}
    with openers.get(path.suffix, open)(path, "rb") as file:
        return file.read()


def decode(raw: bytes) -> str:
    """UTF-8, or else Latin-1, as some old books are."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
