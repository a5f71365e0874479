"""Shards on disk: what is written comes back, whatever the border; damage is named."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.batches.encode_corpus import encode_corpus
from homespun.batches.shards import (
    FORMAT_VERSION,
    ShardEntry,
    ShardWriter,
    TokenShards,
    dtype_for,
    read_manifest,
    verify_shards,
    write_split,
)
from homespun.common.errors import DamagedFileError
from homespun.tokenizer.tokenizer import Tokenizer

DOCUMENTS = [list(range(start, start + size)) for start, size in ((0, 5), (100, 3), (200, 9), (300, 1), (400, 4))]


def write(folder: Path, documents: Sequence[Sequence[int]], vocabulary_size: int, tokens_per_shard: int) -> Path:
    """A folder of shards of one split, with the manifest that goes with it."""
    writer = ShardWriter(folder, "train", dtype_for(vocabulary_size), tokens_per_shard)
    for document in documents:
        writer.add(document)
    writer.flush()
    split = {"shards": [asdict(entry) for entry in writer.entries]}
    manifest = {"format": FORMAT_VERSION, "vocabulary_size": vocabulary_size, "splits": {"train": split}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def documents_of(folder: Path, entry: ShardEntry, dtype: np.dtype) -> list[list[int]]:
    """What one shard holds, read by its description alone: flat ids, and where documents begin."""
    ids = np.fromfile(folder / entry.file, dtype=dtype)
    starts = np.fromfile(folder / entry.file.replace(".bin", ".starts.bin"), dtype="<u8")
    return [part.tolist() for part in np.split(ids, starts[1:].astype(np.int64))]


@settings(deadline=None, max_examples=40)
@given(
    documents=st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=30), min_size=1, max_size=20),
    wide=st.booleans(),
    tokens_per_shard=st.integers(1, 60),
    data=st.data(),
)
def test_round_trip_across_borders(
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[list[int]],
    wide: bool,
    tokens_per_shard: int,
    data: st.DataObject,
) -> None:
    if wide:
        documents = [[token + 60_000 for token in document] for document in documents]
    folder = write(tmp_path_factory.mktemp("shards"), documents, 200_000 if wide else 65_536, tokens_per_shard)
    verify_shards(folder)
    shards, whole = TokenShards(folder, "train"), list(chain.from_iterable(documents))
    assert len(shards) == len(whole)
    assert shards.read(0, len(whole)).tolist() == whole
    for _ in range(5):
        start = data.draw(st.integers(0, len(whole) - 1))
        length = data.draw(st.integers(1, len(whole) - start))
        found = shards.read(start, length)
        assert found.dtype == np.int64
        assert found.tolist() == whole[start : start + length]
    kept = [document for entry in shards.entries for document in documents_of(folder, entry, shards.dtype)]
    assert kept == documents  # none is cut between two shards
    for entry in shards.entries:
        assert entry.tokens <= tokens_per_shard or entry.documents == 1
    assert sum(entry.documents for entry in shards.entries) == len(documents)


@pytest.mark.parametrize(("vocabulary_size", "size"), [(1, 2), (65_536, 2), (65_537, 4), (1_000_000, 4)])
def test_ids_take_as_few_bytes_as_they_need(tmp_path: Path, vocabulary_size: int, size: int) -> None:
    entry = write_split(tmp_path, "train", [np.array([0, vocabulary_size - 1])], vocabulary_size)
    assert (tmp_path / "train-00000.bin").stat().st_size == 2 * size
    assert (tmp_path / "train-00000.bin").read_bytes()[size:] == (vocabulary_size - 1).to_bytes(size, "little")
    assert (entry["tokens"], entry["documents"]) == (2, 1)


def test_several_shards_are_really_there(tmp_path: Path) -> None:
    shards = TokenShards(write(tmp_path, DOCUMENTS, 500, 8), "train")
    assert [entry.tokens for entry in shards.entries] == [8, 9, 5]
    assert [entry.documents for entry in shards.entries] == [2, 1, 2]


def test_a_split_without_documents_is_empty(tmp_path: Path) -> None:
    assert len(TokenShards(write(tmp_path, [], 500, 8), "train")) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, DOCUMENTS, 500, 8)


SHARD_FILES = [f"train-0000{index}.{kind}" for index in range(3) for kind in ("bin", "starts.bin")]


@pytest.mark.parametrize("name", SHARD_FILES)
def test_every_flipped_byte_is_found(folder: Path, name: str) -> None:
    raw = (folder / name).read_bytes()
    for place in range(len(raw)):
        (folder / name).write_bytes(raw[:place] + bytes([raw[place] ^ 1 << place % 8]) + raw[place + 1 :])
        with pytest.raises(DamagedFileError, match=name):
            verify_shards(folder)
    (folder / name).write_bytes(raw)
    verify_shards(folder)


@pytest.mark.parametrize("name", SHARD_FILES)
@pytest.mark.parametrize("damage", ["truncated", "longer", "missing"])
def test_a_file_of_another_size_is_found(folder: Path, name: str, damage: str) -> None:
    raw = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage != "missing":
        (folder / name).write_bytes(raw[:-1] if damage == "truncated" else raw + b"\0")
    with pytest.raises(DamagedFileError, match=name) as raised:
        verify_shards(folder)
    assert "\n" not in str(raised.value)
    if "starts" not in name:  # opening looks at the sizes of the files that it maps
        with pytest.raises(DamagedFileError, match=name):
            TokenShards(folder, "train")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_manifest_of_another_version_is_refused(folder: Path, version: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": version}))
    for use in (lambda: TokenShards(folder, "train"), lambda: verify_shards(folder)):
        with pytest.raises(DamagedFileError, match=f"format {version!r}, this version reads {FORMAT_VERSION}"):
            use()


def test_no_damage_to_the_manifest_is_a_traceback(folder: Path) -> None:
    """Cut anywhere, or with any byte changed, it is refused by name, or it says the same about the shards."""
    path = folder / "manifest.json"
    raw = path.read_bytes()
    expected = TokenShards(folder, "train").read(0, 22).tolist()
    damaged = [raw[:size] for size in range(0, len(raw), 7)]
    damaged += [raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :] for place in range(len(raw))]
    damaged += [b"[]", b"null", b'"text"', b'{"format": 1}', b'{"format": 1, "splits": {}}']
    for content in damaged:
        path.write_bytes(content)
        try:
            verify_shards(folder)
            found = TokenShards(folder, "train").read(0, 22).tolist()
        except DamagedFileError as error:
            assert str(folder) in str(error)
            assert "\n" not in str(error)
        else:
            assert found == expected
    path.unlink()
    with pytest.raises(Exception, match=r"manifest\.json"):
        verify_shards(folder)


def test_encode_corpus_writes_both_splits(tmp_path: Path) -> None:
    tokenizer = Tokenizer("homespun", [])
    texts = {"train": ["abc", "", "Größe 😀"], "validation": ["xyz"]}
    told: list[int] = []
    out = tmp_path / "tokens"
    encode_corpus(lambda split: texts[split], tokenizer, out, told.append)
    verify_shards(out)
    manifest = read_manifest(out)
    assert manifest["vocabulary_size"] == tokenizer.vocabulary_size
    assert manifest["tokenizer"] == tokenizer.identity()
    for split, documents in texts.items():
        entry = manifest["splits"][split]
        size = sum(len(text.encode()) for text in documents)
        expected = [token for text in documents for token in (tokenizer.end_of_text, *tokenizer.encode(text))]
        assert TokenShards(out, split).read(0, len(expected)).tolist() == expected
        assert entry["bytes"] == size
        assert entry["tokens"] == len(expected) == size + len(documents)
        assert entry["documents"] == len(documents)
    assert sum(told) == sum(manifest["splits"][split]["bytes"] for split in texts)


def test_a_failure_while_encoding_leaves_no_folder(tmp_path: Path) -> None:
    def texts(split: str) -> list[str]:
        if split == "validation":
            raise RuntimeError("the source went away")
        return ["abc"]

    with pytest.raises(RuntimeError):
        encode_corpus(texts, Tokenizer("homespun", []), tmp_path / "tokens")
    assert list(tmp_path.iterdir()) == []


def test_shards_do_not_depend_on_where_they_are(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, moved / file.name)
    verify_shards(moved)
